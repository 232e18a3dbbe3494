"""
Turn tokens into text while they come, so that the pieces join to what the whole would decode to.

Two things make that harder than decoding each token. A character may be spread over several tokens
(an emoji is four byte tokens in a vocabulary that lacks it), and half a character must never leave.
And a token's text depends on its left neighbour: a decoder drops the space that opens a text, so a
word decoded alone loses the space before it.

So the tokens of the last piece that left are kept as context: what is new is the decoded context
plus pending tokens, less the decoded context. Text that ends in U+FFFD may be half a character and
waits.

Pure, given a function that decodes. Must not import torch, transformers, asyncio or time.
"""

from collections.abc import Callable, Iterable, Sequence

Decode = Callable[[Sequence[int]], str]

REPLACEMENT = "\ufffd"

# A character is at most 4 bytes, so 4 tokens. What still ends in U+FFFD after many more is no
# character, and waiting on would decode an ever longer tail again at each token.
MAX_PENDING_TOKENS = 64


class Detokenizer:
    """Give out the text that is sure, token by token."""

    def __init__(self, decode: Decode) -> None:
        """Start before the first token; `decode` must skip control tokens."""
        self._decode = decode
        self._context: list[int] = []  # tokens of the last piece that left whole
        self._context_text = ""
        self._pending: list[int] = []  # tokens since then
        self._given = ""  # what of the pending tokens' text has left

    def push(self, token_ids: Iterable[int]) -> str:
        """Take tokens, return the text that has become sure."""
        return "".join([self._push(token_id) for token_id in token_ids])

    def finish(self) -> str:
        """Return what was held back, half characters as U+FFFD."""
        text = self._pending_text()
        rest = text[len(self._given) :]
        self._given = text
        return rest

    def _push(self, token_id: int) -> str:
        self._pending.append(token_id)
        text = self._pending_text()
        patience = len(self._pending) < MAX_PENDING_TOKENS
        sure = text.rstrip(REPLACEMENT) if patience else text
        piece = sure[len(self._given) :]
        if text and len(sure) == len(text):
            self._context = self._pending
            self._context_text = self._decode(self._context)
            self._pending, self._given = [], ""
        elif text:
            self._given += piece
        elif not patience:  # control tokens only: they leave no trace, the context stays
            self._pending = []
        return piece

    def _pending_text(self) -> str:
        """Decode the pending tokens as they read after the context."""
        if not self._pending:
            return self._given
        return self._decode([*self._context, *self._pending])[len(self._context_text) :]


class StopStrings:
    """
    Cut a text at the first stop string, whatever pieces it comes in.

    Text that may be the beginning of a stop string is held back. The stop string that is complete
    first wins, so that the cut does not depend on where the pieces end: with stops "abcd" and "bc",
    "abcd" is cut to "a".
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """Start with nothing held; an empty list never stops."""
        self._stops = tuple(stops)
        self._held = ""
        self.rest = ""  # what came behind the stop string

    def push(self, text: str) -> tuple[str, bool]:
        """Take a piece, return the text that may leave and whether a stop string was met."""
        if not self._stops:
            return text, False
        self._held += text
        ends = [
            (start + len(stop), start)
            for stop in self._stops
            if (start := self._held.find(stop)) >= 0
        ]
        if ends:
            end, start = min(ends)
            before, self.rest, self._held = self._held[:start], self._held[end:], ""
            return before, True
        keep = self._longest_beginning()
        free = len(self._held) - keep
        piece, self._held = self._held[:free], self._held[free:]
        return piece, False

    def finish(self) -> str:
        """Return what was held: no stop string can complete any more."""
        rest, self._held = self._held, ""
        return rest

    def _longest_beginning(self) -> int:
        """Return how many characters at the end may begin a stop string."""
        longest = min(len(self._held), max(map(len, self._stops)) - 1)
        for length in range(longest, 0, -1):
            tail = self._held[-length:]
            if any(stop.startswith(tail) for stop in self._stops):
                return length
        return 0
