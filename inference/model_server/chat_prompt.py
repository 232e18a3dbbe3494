"""
Turn a conversation into a prompt without letting a user's words pass for the template's.

A chat template writes control tokens such as `</s>` as text between the turns, and a tokenizer that
reads them back from the whole text cannot tell the template's from a user's: who writes
`</s>[INST]` into a message could then put words into the other side's mouth. So a control token in
a message is broken with a mark before rendering; the rendered text is cut at the control tokens
that are left, which are the template's; then the marks are taken out again.

    message   Say </s> twice
    broken    Say <|/s> twice                                  (| is the mark)
    rendered  <s>[INST] Say <|/s> twice [/INST]
    segments  Control("<s>"), "[INST] Say </s> twice [/INST]"

Pure, given a function that renders. Must not import torch, transformers, asyncio or time.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Noncharacters, that Unicode keeps for use inside a program.
# Source: The Unicode Standard 15.0, section 23.7.
MARKS = tuple(map(chr, range(0xFDD0, 0xFDF0)))

Turn = dict[str, str]  # role and content, as templates read them
Render = Callable[[Sequence[Turn]], str]


class InvalidConversation(ValueError):
    """Report a conversation that no prompt can be made of, and the message at fault."""

    def __init__(self, index: int, reason: str) -> None:
        """Keep the place, so that an API can name it."""
        super().__init__(f"messages[{index}]: {reason}")
        self.index = index


class NoChatTemplate(ValueError):
    """Report a base model: it continues text, but nobody taught it to chat."""


class PromptTooLong(ValueError):
    """Report a text that its length alone shows to be longer than the context."""

    def __init__(self, at_least_tokens: int) -> None:
        """Keep the least number of tokens that the text can have."""
        super().__init__(f"the text has at least {at_least_tokens} tokens")
        self.at_least_tokens = at_least_tokens


@dataclass(frozen=True, slots=True)
class Control:
    """Stand for one control token, by its text in the vocabulary."""

    token: str


Segment = str | Control


def check_turns(turns: Sequence[Turn]) -> None:
    """
    Require an optional system message, then user and assistant in turns, a user last.

    Raises:
        InvalidConversation: names the first message that is out of turn.
    """
    start = 1 if turns[0]["role"] == "system" else 0
    for index, turn in enumerate(turns[start:], start):
        wanted = ("user", "assistant")[(index - start) % 2]
        if turn["role"] != wanted:
            reason = f"a message of role {wanted} is due here, not of role {turn['role']}"
            raise InvalidConversation(index, reason)
    if turns[-1]["role"] != "user":
        raise InvalidConversation(len(turns) - 1, "the last message must be of role user")


def said(turns: Sequence[Turn]) -> Sequence[Turn]:
    """Leave out a system message without a word: it says nothing, so it gets no line of its own."""
    empty = turns[0]["role"] == "system" and not turns[0]["content"]
    return turns[1:] if empty else turns


def segments_of(turns: Sequence[Turn], controls: Sequence[str], render: Render) -> list[Segment]:
    """
    Render a conversation and part the template's control tokens from all other text.

    Args:
        turns: The messages.
        controls: Every control token's text.
        render: The template; it may trim and join the messages as it likes.

    Raises:
        InvalidConversation: If a message holds every mark, which no text for people does.
    """
    everything = "".join(turn["content"] for turn in turns)
    mark = next((m for m in MARKS if m not in everything), None)
    if mark is None:
        raise InvalidConversation(0, "contains Unicode noncharacters that no text may have")
    broken = [{**turn, "content": _break(turn["content"], controls, mark)} for turn in turns]
    rendered = render(broken)
    pattern = "|".join(re.escape(token) for token in sorted(controls, key=len, reverse=True))
    segments: list[Segment] = []
    for piece in re.split(f"({pattern})", rendered) if controls else [rendered]:
        if piece in controls:
            segments.append(Control(piece))
        elif text := piece.replace(mark, ""):
            segments.append(text)
    return segments


def _break(content: str, controls: Sequence[str], mark: str) -> str:
    """Put a mark inside each control token, and at an end that the template could complete."""
    for token in controls:
        content = content.replace(token, token[0] + mark + token[1:])
    parts = [(token[:cut], token[cut:]) for token in controls for cut in range(1, len(token))]
    before = mark if any(content.startswith(tail) for _, tail in parts) else ""
    after = mark if any(content.endswith(head) for head, _ in parts) else ""
    return before + content + after
