"""
Answer one generation over HTTP, as a stream or whole.

The status is decided before the first byte: whatever the engine refuses becomes an error answer.
What fails after a stream has begun becomes an error event, and `[DONE]` is left out, so that no
client takes a broken answer for a whole one.

Must not import torch or transformers.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from model_server import errors, sse
from model_server.disconnect import while_connected
from model_server.errors import ApiError
from model_server.generation import Piece, accept, pieces
from model_server.meter import AnswerMeter
from model_server.request import Request
from model_server.service import AnswerLimits, ServedModel, Service

EVENT_STREAM = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would else collect the stream before it passes it on
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Hold one request that has been parsed and encoded."""

    request: Request
    stops: tuple[str, ...]
    head: sse.AnswerHead
    chat: bool
    stream: bool
    with_usage: bool
    echo: str = ""  # text before the answer's own
    only_text: bool = False  # KAITO's old shape


class GenerationResponse(Response):
    """Generate while the client is there."""

    def __init__(self, service: Service, model: ServedModel, job: Job) -> None:
        """Keep what the answer needs; nothing runs before the call."""
        super().__init__()
        self._service = service
        self._model = model
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Run as an ASGI application.

        Raises:
            ApiError: If the engine refuses the request, or fails before the first byte.
        """
        tokens = accept(self._model.engine, self._job.request)
        prompt_tokens = len(self._job.request.prompt_ids)
        meter = AnswerMeter(self._service.metrics, prompt_tokens=prompt_tokens)
        reason = "error"
        with self._service.open_answer():
            try:
                async with aclosing(tokens):
                    answer = pieces(
                        tokens, decode=self._model.tokenizer.decode, stops=self._job.stops
                    )
                    writing = _Writing(self._job, meter, self._service.limits, send)
                    work = writing.stream(answer) if self._job.stream else writing.whole(answer)
                    finished = await while_connected(receive, work)
                reason = writing.reason if finished else "abort"
            finally:
                meter.end(reason)
                scope["state"]["notes"].update(
                    prompt_tokens=prompt_tokens,
                    completion_tokens=meter.completion_tokens,
                    finish_reason=reason,
                )


class _Writing:
    """Write the pieces of one answer to one client."""

    def __init__(self, job: Job, meter: AnswerMeter, limits: AnswerLimits, send: Send) -> None:
        self._job = job
        self._limits = limits
        self._started = asyncio.get_running_loop().time()
        self._meter = meter
        self._send = send
        self.reason = "error"

    async def whole(self, answer: AsyncGenerator[Piece, None]) -> None:
        text = self._job.echo
        async with self._clock() as clock, aclosing(answer):
            async for piece in answer:
                self._take(piece, clock)
                text += piece.text
        body = self._whole(text)
        await self._begin({"content-type": "application/json", "content-length": str(len(body))})
        await self._send({"type": "http.response.body", "body": body})

    async def stream(self, answer: AsyncGenerator[Piece, None]) -> None:
        job = self._job
        writer = sse.ChunkWriter(job.head, chat=job.chat, with_usage=job.with_usage)
        begun = False
        try:
            async with self._clock() as clock, aclosing(answer):
                async for piece in answer:
                    self._take(piece, clock)
                    if begun:
                        await self._write(self._events(writer, piece))
                    else:
                        await self._begin(EVENT_STREAM)
                        begun = True
                        await self._write(self._opening(writer), self._events(writer, piece))
        except ApiError as error:
            if not begun:
                raise
            self.reason = "error"
            await self._write(sse.error_event(error.problem.document()))
        await self._send({"type": "http.response.body", "body": b""})

    def _opening(self, writer: sse.ChunkWriter) -> bytes:
        return writer.opening() + (writer.text(self._job.echo) if self._job.echo else b"")

    def _whole(self, text: str) -> bytes:
        if self._job.only_text:
            return sse.only_text(text)
        return sse.whole_answer(
            self._job.head,
            chat=self._job.chat,
            text=text,
            finish_reason=self.reason,
            usage=self._usage(),
        )

    @asynccontextmanager
    async def _clock(self) -> AsyncGenerator[asyncio.Timeout, None]:
        """
        Bound the time to the first token; `_take` then sets the bound of the whole answer.

        Raises:
            ApiError: 503 or 504, by the bound that was passed.
        """
        limits = self._limits
        try:
            async with asyncio.timeout(limits.first_token_seconds) as clock:
                yield clock
        except TimeoutError:
            if self._meter.completion_tokens == 0:
                raise errors.first_token_late(limits.first_token_seconds) from None
            raise errors.answer_late(limits.answer_seconds) from None

    def _events(self, writer: sse.ChunkWriter, piece: Piece) -> bytes:
        events = writer.text(piece.text) if piece.text else b""
        if piece.finish_reason is not None:
            events += writer.closing(piece.finish_reason) + writer.usage(self._usage()) + sse.DONE
        return events

    def _take(self, piece: Piece, clock: asyncio.Timeout) -> None:
        if self._meter.completion_tokens == 0:
            clock.reschedule(self._started + self._limits.answer_seconds)
        self._meter.tokens(piece.new_tokens)
        self.reason = piece.finish_reason or self.reason

    def _usage(self) -> sse.Usage:
        return sse.Usage(
            prompt_tokens=len(self._job.request.prompt_ids),
            completion_tokens=self._meter.completion_tokens,
        )

    async def _begin(self, headers: Mapping[str, str]) -> None:
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": raw})

    async def _write(self, *events: bytes) -> None:
        """Send events in one message: one message is one write to the socket."""
        if body := b"".join(events):
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
