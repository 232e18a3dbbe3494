"""
Follow the choices of one answer: their text, their end, their measure.

Must not import torch, transformers, or anything of HTTP.
"""

from collections.abc import Sequence
from typing import Any

from model_server.api.generation import STOP, TOOL_CALLS, Piece
from model_server.api.metrics import Metrics
from model_server.text.shown_tokens import ShownToken, chat_logprobs, completion_logprobs
from model_server.web.meter import AnswerMeter
from model_server.web.sse import Call, Choice, Usage


class ChoiceState:
    """Follow one choice."""

    def __init__(
        self, meter: AnswerMeter, *, chat: bool, opening: str, shows_logprobs: bool
    ) -> None:
        """Start with the text that opens it."""
        self.meter = meter
        self.reason: str | None = None
        self._chat = chat
        self._shows_logprobs = shows_logprobs
        self._characters = len(opening)  # of what has been shown so far, where tokens are shown
        self._texts = [opening]
        self._tokens: list[ShownToken] = []
        self._calls: list[Call] = []

    def take(self, piece: Piece) -> None:
        """Add what came."""
        self.meter.tokens(piece.new_tokens)
        self.reason = piece.finish_reason
        self._texts.append(piece.text)
        self._tokens += piece.logprobs
        self._characters += _characters(piece.logprobs)
        for new in piece.calls:
            if new.index == len(self._calls):
                self._calls.append(Call(call_id=new.call_id or "", name=new.name or ""))
            self._calls[new.index].arguments += new.arguments

    def logprobs_of(self, piece: Piece) -> dict[str, Any] | None:
        """Write the log probabilities of a piece that has been taken, if they were asked for."""
        if not piece.logprobs:
            return None
        return self._logprobs(piece.logprobs)

    def choice(self) -> Choice:
        """Return the whole choice, once it has ended."""
        return Choice(
            text="".join(self._texts),
            finish_reason=self.reason or "error",
            logprobs=self._logprobs(self._tokens) if self._shows_logprobs else None,
            calls=tuple(self._calls),
        )

    def _logprobs(self, tokens: Sequence[ShownToken]) -> dict[str, Any]:
        """Write the log probabilities of the newest tokens."""
        if self._chat:
            return chat_logprobs(tokens)
        return completion_logprobs(tokens, self._characters - _characters(tokens))


def _characters(tokens: Sequence[ShownToken]) -> int:
    return sum(len(token.text) for token in tokens)


class AnswerState:
    """Follow all choices of one answer."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        choices: int,
        prompt_tokens: int,
        chat: bool,
        opening: str,
        shows_logprobs: bool,
    ) -> None:
        """Start the clocks; the prompt counts once."""
        self._prompt_tokens = prompt_tokens
        self._cached_tokens: int | None = None
        self.completion_tokens = 0  # of all choices so far
        self.choices = [
            ChoiceState(
                AnswerMeter(metrics, prompt_tokens=None if index else prompt_tokens),
                chat=chat,
                opening=opening,
                shows_logprobs=shows_logprobs,
            )
            for index in range(choices)
        ]

    @property
    def has_ended(self) -> bool:
        """Whether every choice has its reason."""
        return all(choice.reason is not None for choice in self.choices)

    def take(self, index: int, piece: Piece) -> None:
        """Add what came for one choice."""
        if self._cached_tokens is None:
            self._cached_tokens = piece.cached_tokens
        self.completion_tokens += piece.new_tokens
        self.choices[index].take(piece)

    def usage(self) -> Usage:
        """Count tokens; what was cached is what the first choice found."""
        return Usage(
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self.completion_tokens,
            cached_tokens=self._cached_tokens or 0,
        )

    def end(self, otherwise: str) -> str:
        """Record the end of each choice, `otherwise` where it has none; return the worst."""
        reasons = [choice.reason or otherwise for choice in self.choices]
        for choice, reason in zip(self.choices, reasons, strict=True):
            choice.meter.end(STOP if reason == TOOL_CALLS else reason)
        return otherwise if otherwise in reasons else reasons[0]
