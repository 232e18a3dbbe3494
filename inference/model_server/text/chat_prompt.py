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

What stands in a list of tools, in a call or in its result is text of the same kind, at whatever
depth it lies.

Pure, given a function that renders. Must not import torch, transformers, asyncio or time.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar, cast

# Noncharacters, that Unicode keeps for use inside a program.
# Source: The Unicode Standard 15.0, section 23.7.
MARKS = tuple(map(chr, range(0xFDD0, 0xFDF0)))

Turn = dict[str, Any]  # role and content, tool_calls or tool_call_id, as templates read them
Tool = dict[str, Any]  # type and function, as templates read them
Said = TypeVar("Said")  # lists and objects of texts: turns, or turns and tools
ROLES = frozenset({"system", "user", "assistant", "tool"})  # templates compare them


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
    Require an optional system message, then user and assistant in turns.

    An assistant that calls tools is followed by one result for each call, and speaks again then.
    The last is a user's message or a result.

    Raises:
        InvalidConversation: names the first message that is out of turn.
    """
    start = 1 if turns[0]["role"] == "system" else 0
    due, open_calls = "user", set[str]()
    for index, turn in enumerate(turns[start:], start):
        if open_calls or turn["role"] == "tool":
            _check_result(index, turn, open_calls)
            open_calls.discard(turn["tool_call_id"])
            due = "assistant"
            continue
        if turn["role"] != due:
            reason = f"a message of role {due} is due here, not of role {turn['role']}"
            raise InvalidConversation(index, reason)
        calls = turn.get("tool_calls", ())
        open_calls = {call["id"] for call in calls}
        if len(open_calls) < len(calls):
            raise InvalidConversation(index, "two calls have the same id")
        due = "user" if due == "assistant" else "assistant"
    if open_calls:
        raise InvalidConversation(len(turns) - 1, "a result of each call must follow")
    if turns[-1]["role"] not in {"user", "tool"}:
        raise InvalidConversation(len(turns) - 1, "the last message must be of role user")


def _check_result(index: int, turn: Turn, open_calls: set[str]) -> None:
    if turn["role"] != "tool":
        reason = f"the result of a call is due here, of role tool, not of role {turn['role']}"
        raise InvalidConversation(index, reason)
    if turn["tool_call_id"] not in open_calls:
        raise InvalidConversation(index, "its tool_call_id is of no call that waits for a result")


def said(turns: Sequence[Turn]) -> Sequence[Turn]:
    """Leave out a system message without a word: it says nothing, so it gets no line of its own."""
    empty = turns[0]["role"] == "system" and not turns[0]["content"]
    return turns[1:] if empty else turns


def segments_of(
    said: Said, controls: Sequence[str], render: Callable[[Said], str]
) -> list[Segment]:
    """
    Render a conversation and part the template's control tokens from all other text.

    Args:
        said: The messages, and tools where there are some.
        controls: Every control token's text.
        render: The template; it may trim and join the texts as it likes.

    Raises:
        InvalidConversation: If the texts hold every mark, which no text for people does.
    """
    everything = "\n".join(_texts(said))
    mark = next((m for m in MARKS if m not in everything and _escaped(m) not in everything), None)
    if mark is None:
        raise InvalidConversation(0, "contains Unicode noncharacters that no text may have")
    rendered = render(cast("Said", _broken(said, tuple(controls), mark)))
    pattern = "|".join(re.escape(token) for token in sorted(controls, key=len, reverse=True))
    segments: list[Segment] = []
    for piece in re.split(f"({pattern})", rendered) if controls else [rendered]:
        if piece in controls:
            segments.append(Control(piece))
        elif text := piece.replace(mark, "").replace(_escaped(mark), ""):
            segments.append(text)
    return segments


def _escaped(mark: str) -> str:
    """Write a mark as a template does that puts texts into JSON of ASCII characters."""
    return f"\\u{ord(mark):04x}"


def _texts(said: object) -> Iterator[str]:
    if isinstance(said, str):
        yield said
    elif isinstance(said, dict):
        for key, value in said.items():
            yield key
            yield from _texts(value)
    elif isinstance(said, list | tuple):
        for value in said:
            yield from _texts(value)


def _broken(said: object, controls: tuple[str, ...], mark: str) -> object:
    """Break the control tokens in every text of nested lists and objects."""
    if isinstance(said, str):
        return said if said in ROLES else _break(said, controls, mark)
    if isinstance(said, dict):
        return {
            _break(key, controls, mark): _broken(value, controls, mark)
            for key, value in said.items()
        }
    if isinstance(said, list):
        return [_broken(value, controls, mark) for value in said]
    if isinstance(said, tuple):
        return tuple(_broken(value, controls, mark) for value in said)
    return said


def _break(content: str, controls: tuple[str, ...], mark: str) -> str:
    """Put a mark inside each control token, and at an end that the template could complete."""
    for token in controls:
        if token in content:
            content = content.replace(token, token[0] + mark + token[1:])
    heads, tails, longest = _ends(controls)
    lengths = range(1, min(len(content), longest) + 1)
    before = mark if any(content[:length] in tails for length in lengths) else ""
    after = mark if any(content[-length:] in heads for length in lengths) else ""
    return before + content + after


@lru_cache(maxsize=8)
def _ends(controls: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str], int]:
    """Return what control tokens begin with, what they end with, and the longest of these."""
    cuts = [(token[:cut], token[cut:]) for token in controls for cut in range(1, len(token))]
    heads = frozenset(head for head, _ in cuts)
    tails = frozenset(tail for _, tail in cuts)
    return heads, tails, max(map(len, heads | tails), default=0)
