"""
Carry one request from its tokens to its text: submit it, turn tokens into text, know when to stop.

An answer ends for one of three reasons: the engine met an end token ("stop"), a stop string came up
in the text ("stop", and the engine is told by closing its iterator), or max_tokens are reached
("length"). Whoever stops reading the pieces cancels the generation, so a client that left costs
nothing from the next step on.

Must not import torch, transformers, or anything of HTTP.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from model_server.api import errors
from model_server.api.errors import ApiError
from model_server.engine.request import (
    EngineStopped,
    FinishReason,
    InvalidRequest,
    QueueFull,
    Request,
    RequestTooLong,
    TokenOutput,
)
from model_server.text.answer_text import AnswerText, Reading
from model_server.text.call_reader import CallPiece
from model_server.text.shown_tokens import ShownToken, TokenShower

logger = logging.getLogger(__name__)

STOP, LENGTH, TOOL_CALLS = "stop", "length", "tool_calls"


class Tokens(Protocol):
    """Iterate over the outputs of one request."""

    def __aiter__(self) -> AsyncIterator[TokenOutput]:
        """Iterate once."""
        ...

    def close(self) -> None:
        """Leave; cancels the request unless it has finished."""

    async def aclose(self) -> None:
        """Leave, as contextlib.aclosing wants it."""


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
    cached_tokens: int = 0  # of the prompt; in the first piece
    logprobs: tuple[ShownToken, ...] = ()  # of the new tokens of the text, where asked for
    calls: tuple[CallPiece, ...] = ()


def accept_all(generator: Generator, requests: Sequence[Request]) -> list[Tokens]:
    """
    Hand requests to the engine, all or none.

    Raises:
        ApiError: If the engine does not take one; nothing is queued then.
    """
    accepted: list[Tokens] = []
    try:
        for request in requests:
            accepted.append(accept(generator, request))  # noqa: PERF401 - what was accepted is closed below
    except ApiError:
        for tokens in accepted:
            tokens.close()
        raise
    return accepted


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


async def pieces(outputs: Tokens, reading: Reading) -> AsyncGenerator[Piece, None]:
    """
    Turn the engine's tokens into pieces of text, the last one with the reason of the end.

    Raises:
        ApiError: If the engine failed on this request or stopped.
    """
    answer = AnswerText(reading)
    shown = TokenShower(reading.decode, reading.token_bytes)
    async with aclosing(outputs):
        async for output in outputs:
            reason = _reason(output)
            of_text = 0
            for token_id in output.text_ids:
                answer.push(token_id)
                of_text += not answer.is_calling
                if answer.is_stopped:
                    break
            if reason is not None and not answer.is_stopped:
                answer.finish()
            text, calls = answer.take()
            logprobs = shown.show(output) if output.logprobs else ()
            if answer.is_stopped or (reason == STOP and answer.has_whole_calls):
                reason = STOP if answer.is_stopped else TOOL_CALLS
            yield Piece(
                text=text,
                new_tokens=len(output.token_ids),
                finish_reason=reason,
                cached_tokens=output.cached_tokens,
                logprobs=logprobs[:of_text] if answer.is_calling else logprobs,
                calls=calls,
            )
            if reason is not None:
                return
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
