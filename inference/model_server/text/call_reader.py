"""
Read calls of tools from the text of a model while it comes.

The grammar of the answer (call_grammar.py) has seen to the form of the text: a name, then
arguments that are one JSON object, once or several times, with something between them that has no
brace. So what is left is to find where arguments begin and end. They are handed on as the model
wrote them, piece by piece; joined, they are what the whole answer shows.

    [{"name": "weather", "arguments": {"city": "Oslo"}}]
                                      ^ from here    ^ to here

Pure. Must not import torch, transformers, asyncio or time.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

OPENING = re.compile(
    r'[^{]*\{\s*"name"\s*:\s*"([a-zA-Z0-9_-]{1,64})"\s*,\s*"arguments"\s*:\s*(?=\{)'
)
# What changes the state within arguments, within a string and outside of one.
IN_STRING = re.compile(r'\\.|"', re.DOTALL)
OUTSIDE = re.compile(r'["{}]')


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPiece:
    """Hold what is new of one call; the first piece has its name and id."""

    index: int
    arguments: str = ""
    call_id: str | None = None
    name: str | None = None


class CallReader:
    """Give out the calls of one answer."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        """Start behind the mark that calls begin with."""
        self._new_id = new_id
        self._held = ""  # before arguments that have not begun, or half an escape within them
        self._count = 0
        self._depth = 0  # of braces; 0 is outside of arguments
        self._in_string = False

    @property
    def has_whole_calls(self) -> bool:
        """Whether there are calls and the last one has ended."""
        return self._count > 0 and self._depth == 0

    def push(self, text: str) -> list[CallPiece]:
        """Take text, return what it adds."""
        pieces: list[CallPiece] = []
        self._held += text
        while self._held:
            call_id = name = None
            if self._depth == 0:
                opening = OPENING.match(self._held)
                if opening is None:
                    break
                call_id, name = self._new_id(), opening[1]
                self._count += 1
                self._held = self._held[opening.end() :]
            arguments = self._arguments()
            if arguments:
                index = self._count - 1
                pieces.append(
                    CallPiece(index=index, arguments=arguments, call_id=call_id, name=name)
                )
            if self._depth > 0:
                break
        return pieces

    def _arguments(self) -> str:
        """Cut off what belongs to the arguments of the call that has begun."""
        start = 0
        while sign := (IN_STRING if self._in_string else OUTSIDE).search(self._held, start):
            start = sign.end()
            if sign[0] == '"':
                self._in_string = not self._in_string
            elif not self._in_string:
                self._depth += 1 if sign[0] == "{" else -1
                if self._depth == 0:
                    return self._cut(start)
        is_half = self._in_string and self._held[start:].endswith("\\")
        return self._cut(len(self._held) - is_half)

    def _cut(self, end: int) -> str:
        piece, self._held = self._held[:end], self._held[end:]
        return piece
