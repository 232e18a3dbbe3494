"""
Say what one generation is: the request that enters the engine and the outputs that leave it.

Everything here is token ids; text belongs to the HTTP side, tensors to the runner. A value of these
types has been checked whole when it was made, so nothing behind this line checks it again.

The errors of the engine, all of them raised before anything is queued:

    EngineError
    ├── InvalidRequest   the caller's values make no sense; names field, value and reason
    ├── RequestTooLong   prompt and answer together pass the context
    ├── QueueFull        too many requests wait; says when to come back
    └── EngineStopped    the engine does not take requests (any more)

Must not import torch, asyncio, threading, time or anything of HTTP.
"""

import enum
import math
from dataclasses import dataclass
from typing import Protocol

# So wide that they hinder nobody, so narrow that a finite logit stays finite.
LEAST_REPETITION_PENALTY = 0.1
MOST_REPETITION_PENALTY = 10.0


class EngineError(Exception):
    """Be the root of every refusal by the engine."""


class InvalidRequest(EngineError):
    """Report a field whose value makes no sense."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        """Keep the parts apart, so that an API can name the field."""
        super().__init__(f"{field}: {reason}, not {value!r}")
        self.field = field
        self.value = value
        self.reason = reason


class RequestTooLong(EngineError):
    """Report a request that could never be finished within the context."""

    def __init__(self, *, limit: int, got: int) -> None:
        """Keep both numbers of tokens."""
        super().__init__(
            f"prompt and max_tokens together are {got} tokens, the limit is {limit}: "
            "shorten the prompt or ask for fewer tokens"
        )
        self.limit = limit
        self.got = got


class QueueFull(EngineError):
    """Report that as many requests wait as may."""

    def __init__(self, *, retry_after_seconds: int) -> None:
        """Keep the advice for the caller."""
        super().__init__(f"the queue is full, try again in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class EngineStopped(EngineError):
    """Report an engine that is not started, draining, stopped or dead."""


class FinishReason(enum.Enum):
    """Say why no more tokens come."""

    STOP = "stop"  # an end-of-sequence or stop token: it is the last of the token ids
    LENGTH = "length"  # max_tokens were generated
    CANCELLED = "cancelled"  # the reader left, or the engine stopped
    ERROR = "error"  # the output says which


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParameters:
    """Say how tokens are drawn and when to stop; temperature 0 is exact greedy search."""

    max_tokens: int
    min_tokens: int = 0  # before these, no end-of-sequence or stop token is drawn
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0  # 0: all tokens
    min_p: float = 0.0  # of the likeliest token's probability; less likely ones are left out
    seed: int | None = None  # None: the engine draws one
    repetition_penalty: float = 1.0  # over prompt and answer
    presence_penalty: float = 0.0  # over the answer, as the next
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()  # token ids and what is added to their logits
    stop_token_ids: frozenset[int] = frozenset()
    ignore_eos: bool = False
    logprobs: int | None = None  # how many of the likeliest tokens are shown beside the drawn one

    def __post_init__(self) -> None:
        """Refuse what no sampler could follow."""
        require("max_tokens", self.max_tokens, self.max_tokens >= 1, "must be at least 1")
        fits = 0 <= self.min_tokens <= self.max_tokens
        require("min_tokens", self.min_tokens, fits, "must be 0 to max_tokens")
        usable = math.isfinite(self.temperature) and self.temperature >= 0
        require("temperature", self.temperature, usable, "must be finite and not negative")
        require("top_p", self.top_p, 0 < self.top_p <= 1, "must be above 0 and at most 1")
        require("top_k", self.top_k, self.top_k >= 0, "must be 0 (off) or more")
        require("min_p", self.min_p, 0 <= self.min_p <= 1, "must be 0 (off) to 1")
        if self.seed is not None:
            fits = -(2**63) <= self.seed < 2**64
            require("seed", self.seed, fits, "must fit into 64 bits")
        penalty = self.repetition_penalty
        fits = LEAST_REPETITION_PENALTY <= penalty <= MOST_REPETITION_PENALTY
        bounds = f"must be {LEAST_REPETITION_PENALTY} to {MOST_REPETITION_PENALTY}"
        require("repetition_penalty", penalty, fits, bounds)
        for name in ("presence_penalty", "frequency_penalty"):
            value = getattr(self, name)
            require(name, value, math.isfinite(value), "must be finite")
        sound = all(token >= 0 and math.isfinite(bias) for token, bias in self.logit_bias)
        require("logit_bias", self.logit_bias, sound, "must be token ids with finite biases")
        shown = self.logprobs is None or self.logprobs >= 0
        require("logprobs", self.logprobs, shown, "must be 0 or more")

    @property
    def changes_logits(self) -> bool:
        """Whether logits are changed before a token is drawn from them."""
        return bool(
            self.repetition_penalty != 1
            or self.presence_penalty
            or self.frequency_penalty
            or self.logit_bias
            or self.min_tokens
        )


class ConstraintBroken(Exception):
    """Report a constraint that can say no more, with why."""


class Constraint(Protocol):
    """Follow one answer and say which tokens may come next (grammar.py makes these)."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing can follow: the answer ends here."""

    @property
    def is_free(self) -> bool:
        """Whether every token may come next: there is no mask to look at."""

    def allowed_tokens(self) -> bytes:
        """
        Return one bit per token id, the lowest first.

        Raises:
            ConstraintBroken: If it does not know: the answer fails.
        """

    def advance(self, token_id: int) -> None:
        """Take in the token that was drawn; never raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Ask for a continuation of a prompt."""

    request_id: str
    prompt_ids: tuple[int, ...]
    sampling: SamplingParameters
    constraint: Constraint | None = None  # of this request alone: it is changed as tokens come
    cache_salt: str = ""  # only requests of the same salt share cached prefixes
    adapter: str = ""  # name of the adapter to generate with; empty for the base alone

    def __post_init__(self) -> None:
        """Refuse what names nothing or asks nothing."""
        require("request_id", self.request_id, bool(self.request_id), "must not be empty")
        require("prompt_ids", self.prompt_ids, bool(self.prompt_ids), "must not be empty")
        lowest = min(self.prompt_ids)
        require("prompt_ids", lowest, lowest >= 0, "must be token ids, 0 or more")

    @property
    def longest(self) -> int:
        """Tokens of the prompt and the longest answer."""
        return len(self.prompt_ids) + self.sampling.max_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprobs:
    """Hold the natural logarithms of probabilities at one position, before any filter."""

    logprob: float  # of the token that was drawn
    top: tuple[tuple[int, float], ...]  # token ids and theirs, the likeliest first


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOutput:
    """Carry the tokens that are new since the last output, and the end once it is known."""

    request_id: str
    token_ids: tuple[int, ...] = ()
    last_is_text: bool = True  # False: the last token ended the answer and is no part of it
    logprobs: tuple[TokenLogprobs, ...] = ()  # one for each token, where they were asked for
    cached_tokens: int = 0  # of the prompt, found in the cache when it was first computed
    finish_reason: FinishReason | None = None
    error: str | None = None  # one sentence; with FinishReason.ERROR only

    @property
    def text_ids(self) -> tuple[int, ...]:
        """The tokens that are part of the answer."""
        return self.token_ids if self.last_is_text else self.token_ids[:-1]


def require(field: str, value: object, holds: bool, reason: str) -> None:  # noqa: FBT001
    """
    Check one field.

    Raises:
        InvalidRequest: If the condition does not hold.
    """
    if not holds:
        raise InvalidRequest(field, value, reason)
