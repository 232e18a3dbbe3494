"""
Parse what a request says about the drawing of tokens.

The fields are OpenAI's, and those that other servers have beside them: `top_k`, `min_p`,
`repetition_penalty`, `min_tokens`, `stop_token_ids`, `ignore_eos`, `cache_salt`.

Every number and list has a bound, and the refusal names it.

Must not import torch, transformers, or anything that answers requests.
"""

import math
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from model_server.api.strict_body import Strict
from model_server.engine.request import LEAST_REPETITION_PENALTY, MOST_REPETITION_PENALTY

MAX_STOP_STRINGS = 4
MAX_STOP_CHARACTERS = 256
MAX_STOP_TOKENS = 64
MAX_BIASES = 1024
MAX_BIAS = 100.0
MAX_PENALTY = 2.0
MAX_CHOICES = 16
MAX_TOP_LOGPROBS = 20
MAX_SALT_CHARACTERS = 256
MAX_INTEGER = 2**31 - 1
MAX_ID_DIGITS = 10


def _stops_of(value: object) -> object:
    """Accept one string or a few."""
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    if (
        not isinstance(stops, list)
        or len(stops) > MAX_STOP_STRINGS
        or not all(isinstance(s, str) and 0 < len(s) <= MAX_STOP_CHARACTERS for s in stops)
    ):
        raise PydanticCustomError(
            "stop",
            "must be a string or a list of up to {most} strings of 1 to {longest} characters",
            {"most": MAX_STOP_STRINGS, "longest": MAX_STOP_CHARACTERS},
        )
    return tuple(stops)


def _stop_tokens_of(value: object) -> object:
    """Accept a list of a few token ids."""
    if value is None:
        return frozenset()
    if (
        not isinstance(value, list)
        or len(value) > MAX_STOP_TOKENS
        or not all(type(i) is int and 0 <= i <= MAX_INTEGER for i in value)
    ):
        raise PydanticCustomError(
            "stop_token_ids", "must be a list of up to {most} token ids", {"most": MAX_STOP_TOKENS}
        )
    return frozenset(value)


def _biases_of(value: object) -> object:
    """Accept an object from token ids, written as strings, to biases."""
    if value is None:
        return ()
    if (
        not isinstance(value, dict)
        or len(value) > MAX_BIASES
        or not all(_is_token_id(key) for key in value)
        or not all(_is_bias(bias) for bias in value.values())
    ):
        raise PydanticCustomError(
            "logit_bias",
            "must be an object of up to {most} token ids with biases of -{bound} to {bound}",
            {"most": MAX_BIASES, "bound": f"{MAX_BIAS:g}"},
        )
    biases = {int(key): float(bias) for key, bias in value.items()}
    return tuple(biases.items())


def _is_token_id(key: object) -> bool:
    return isinstance(key, str) and key.isascii() and key.isdigit() and len(key) <= MAX_ID_DIGITS


def _is_bias(bias: object) -> bool:
    return type(bias) in (int, float) and math.isfinite(bias) and abs(bias) <= MAX_BIAS  # type: ignore[arg-type] # a number, by its type


Penalty = Annotated[float | None, Field(ge=-MAX_PENALTY, le=MAX_PENALTY, allow_inf_nan=False)]


class SamplingFields(Strict):
    """Hold what both kinds of requests say about drawing."""

    max_tokens: int | None = Field(default=None, ge=1, le=MAX_INTEGER)
    min_tokens: int | None = Field(default=None, ge=0, le=MAX_INTEGER)
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    top_k: int | None = Field(default=None, ge=0, le=MAX_INTEGER)
    min_p: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    n: int | None = Field(default=None, ge=1, le=MAX_CHOICES)
    stop: Annotated[tuple[str, ...], BeforeValidator(_stops_of)] = ()
    stop_token_ids: Annotated[frozenset[int], BeforeValidator(_stop_tokens_of)] = frozenset()
    ignore_eos: bool = False
    presence_penalty: Penalty = None
    frequency_penalty: Penalty = None
    repetition_penalty: float | None = Field(
        default=None,
        ge=LEAST_REPETITION_PENALTY,
        le=MOST_REPETITION_PENALTY,
        allow_inf_nan=False,
    )
    logit_bias: Annotated[tuple[tuple[int, float], ...], BeforeValidator(_biases_of)] = ()
    # Only requests of the same salt share what the cache holds of their prompts.
    cache_salt: str | None = Field(default=None, max_length=MAX_SALT_CHARACTERS)
