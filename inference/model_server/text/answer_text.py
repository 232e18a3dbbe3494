"""
Part an answer's tokens into its text, cut at stop strings, and its calls of tools.

Calls begin with a mark, a control token or a text (tool_form.py), and nothing but calls follows it.
Stop strings are about text: half a call is of no use to anybody.

Must not import torch, transformers, or anything of HTTP.
"""

from collections.abc import Callable
from dataclasses import dataclass

from model_server.text.call_reader import CallPiece, CallReader
from model_server.text.detokenize import Decode, Detokenizer, StopStrings
from model_server.text.tool_form import ToolForm


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReading:
    """Say how calls begin, and where their ids come from."""

    form: ToolForm
    new_id: Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Say how tokens become text, and at which text they end."""

    decode: Decode
    token_bytes: Callable[[int], bytes]
    stops: tuple[str, ...] = ()
    min_tokens: int = 0  # stop strings do not count in these
    calls: CallReading | None = None  # where there are tools to call


class AnswerText:
    """Take the tokens of one answer, give out what they add."""

    def __init__(self, reading: Reading) -> None:
        """Start before the first token."""
        self.is_stopped = False  # a stop string was met
        self._reading = reading
        self._detokenizer = Detokenizer(reading.decode)
        self._stops = StopStrings(reading.stops)
        self._count = 0
        calls = reading.calls
        self._mark_id = calls.form.mark_id if calls is not None else None
        is_text = calls is not None and calls.form.mark_id is None
        self._marks = StopStrings([calls.form.mark] if calls is not None and is_text else [])
        self._reader: CallReader | None = None  # from the mark on
        self._text = ""
        self._calls: list[CallPiece] = []

    @property
    def is_calling(self) -> bool:
        """Whether the mark has come."""
        return self._reader is not None

    @property
    def has_whole_calls(self) -> bool:
        """Whether there are calls and the last one is whole."""
        return self._reader is not None and self._reader.has_whole_calls

    def push(self, token_id: int) -> None:
        """Take a token."""
        self._count += 1
        if self._reader is not None:
            self._calls += self._reader.push(self._detokenizer.push([token_id]))
        elif token_id == self._mark_id:
            self._add(self._detokenizer.finish())
            self._add_last()
            self._open_calls("")
        else:
            self._add_until_mark(self._detokenizer.push([token_id]))

    def finish(self) -> None:
        """Take the end: nothing is held back any more."""
        rest = self._detokenizer.finish()
        if self._reader is not None:
            self._calls += self._reader.push(rest)
            return
        self._add_until_mark(rest)
        if self._reader is None:
            self._add(self._marks.finish())
            self._add_last()

    def take(self) -> tuple[str, tuple[CallPiece, ...]]:
        """Return what has become sure since the last call."""
        text, calls = self._text, tuple(self._calls)
        self._text = ""
        self._calls.clear()
        return text, calls

    def _add_until_mark(self, text: str) -> None:
        text, is_marked = self._marks.push(text)
        self._add(text)
        if is_marked and not self.is_stopped:
            self._add_last()
            self._open_calls(self._marks.rest)

    def _add(self, text: str) -> None:
        if self._count <= self._reading.min_tokens:
            self._text += text
        elif not self.is_stopped:
            piece, self.is_stopped = self._stops.push(text)
            self._text += piece

    def _add_last(self) -> None:
        if not self.is_stopped:
            self._text += self._stops.finish()

    def _open_calls(self, text: str) -> None:
        calls = self._reading.calls
        if calls is None or self.is_stopped:
            return
        self._reader = CallReader(calls.new_id)
        # Calls read as a text of their own: what opens it loses a space that opens a text.
        self._detokenizer = Detokenizer(self._reading.decode)
        self._calls += self._reader.push(text)
