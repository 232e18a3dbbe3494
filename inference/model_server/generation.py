"""
Carry one request from its tokens to its text: submit it, turn tokens into text, know when to stop.

An answer ends for one of three reasons: the engine met an end token ("stop"), a stop string came up
in the text ("stop", and the engine is told by closing its iterator), or max_tokens are reached
("length"). Whoever stops reading the pieces cancels the generation, so a client that left costs
nothing from the next step on.

Must not import torch, transformers, or anything of HTTP.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from model_server import errors
from model_server.detokenize import Decode, Detokenizer, StopStrings
from model_server.errors import ApiError
from model_server.request import (
    EngineStopped,
    FinishReason,
    InvalidRequest,
    QueueFull,
    Request,
    RequestTooLong,
    TokenOutput,
)

logger = logging.getLogger(__name__)

STOP, LENGTH = "stop", "length"


class Tokens(Protocol):
    """Iterate over the outputs of one request."""

    def __aiter__(self) -> AsyncIterator[TokenOutput]:
        """Iterate once."""
        ...

    async def aclose(self) -> None:
        """Leave; cancels the request unless it has finished."""


class Generator(Protocol):
    """Answer requests with tokens (engine.Engine is one)."""

    def generate(self, request: Request) -> Tokens:
        """Accept the request, or raise an EngineError at once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Hold what one step of the engine added to the answer."""

    text: str
    new_tokens: int
    finish_reason: str | None = None


def accept(generator: Generator, request: Request) -> Tokens:
    """
    Hand a request to the engine.

    Raises:
        ApiError: If the engine does not take it; nothing is queued then.
    """
    try:
        return generator.generate(request)
    except QueueFull as error:
        raise errors.queue_full(error.retry_after_seconds) from None
    except RequestTooLong as error:
        answer = request.sampling.max_tokens
        raise errors.context_exceeded(
            param="max_tokens", limit=error.limit, prompt=len(request.prompt_ids), answer=answer
        ) from None
    except InvalidRequest as error:
        field = "prompt" if error.field == "prompt_ids" else error.field
        raise errors.invalid_value(field, f"{field}: {error.reason}") from None
    except EngineStopped:
        raise stopped() from None


async def pieces(
    outputs: Tokens, *, decode: Decode, stops: tuple[str, ...]
) -> AsyncGenerator[Piece, None]:
    """
    Turn the engine's tokens into pieces of text, the last one with the reason of the end.

    Raises:
        ApiError: If the engine failed on this request or stopped.
    """
    detokenizer = Detokenizer(decode)
    stop_strings = StopStrings(stops)
    async with aclosing(outputs):
        async for output in outputs:
            new = len(output.token_ids)
            text, met = stop_strings.push(detokenizer.push(output.token_ids))
            reason = _reason(output)
            if met:
                yield Piece(text=text, new_tokens=new, finish_reason=STOP)
                return
            if reason is not None:
                last, met = stop_strings.push(detokenizer.finish())
                tail = text + last + stop_strings.finish()
                yield Piece(text=tail, new_tokens=new, finish_reason=STOP if met else reason)
                return
            yield Piece(text=text, new_tokens=new)
    raise stopped()


def _reason(output: TokenOutput) -> str | None:
    match output.finish_reason:
        case None:
            return None
        case FinishReason.STOP:
            return STOP
        case FinishReason.LENGTH:
            return LENGTH
        case FinishReason.CANCELLED:
            raise stopped()
        case FinishReason.ERROR:
            logger.error(
                "generation_failed", extra={"request": output.request_id, "error": output.error}
            )
            raise errors.generation_failed()


def stopped() -> ApiError:
    """Say that the engine ended before the answer did."""
    return errors.unavailable(
        "this server is shutting down", code="stopping", retry_after_seconds=5
    )
