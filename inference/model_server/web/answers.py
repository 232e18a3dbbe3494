"""
Answer one generation over HTTP, as a stream or whole.

The status is decided before the first byte: whatever the engine refuses becomes an error answer.
What fails after a stream has begun becomes an error event, and `[DONE]` is left out, so that no
client takes a broken answer for a whole one.

Must not import torch or transformers.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from model_server.api import errors
from model_server.api.choices import merged
from model_server.api.errors import ApiError
from model_server.api.generation import Piece, accept_all, pieces
from model_server.api.service import AnswerLimits, ServedModel, Service
from model_server.engine.request import Request
from model_server.text.answer_text import CallReading, Reading
from model_server.web import sse
from model_server.web.choice_state import AnswerState
from model_server.web.disconnect import while_connected

Pieces = AsyncGenerator[tuple[int, Piece], None]  # each with the number of its choice

EVENT_STREAM = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would else collect the stream before it passes it on
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Hold one request that has been parsed and encoded."""

    requests: tuple[Request, ...]  # one for each choice, of the same prompt
    stops: tuple[str, ...]
    head: sse.AnswerHead
    chat: bool
    stream: bool
    with_usage: bool
    echo: str = ""  # text before the answer's own
    only_text: bool = False  # KAITO's old shape
    calls: CallReading | None = None  # where the model was told of tools

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
        return len(self.requests[0].prompt_ids)


class GenerationResponse(Response):
    """Generate while the client is there."""

    def __init__(self, service: Service, model: ServedModel, job: Job, opened: ExitStack) -> None:
        """Keep what the answer needs; nothing runs before the call, whose end closes `opened`."""
        super().__init__()
        self._opened = opened
        self._service = service
        self._model = model
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Run as an ASGI application.

        Raises:
            ApiError: If the engine refuses the request, or fails before the first byte.
        """
        with self._opened:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        job = self._job
        accepted = accept_all(self._model.engine, job.requests)
        self._service.metrics.asked(job.requests[0].adapter)
        state = AnswerState(
            self._service.metrics,
            choices=len(job.requests),
            prompt_tokens=job.prompt_tokens,
            chat=job.chat,
            opening=job.echo,
            shows_logprobs=job.requests[0].sampling.logprobs is not None,
        )
        otherwise = "error"
        try:
            reading = self._reading()
            answer = merged([pieces(tokens, reading) for tokens in accepted])
            writing = _Writing(job, state, self._service.limits, _Way(scope, send))
            work = writing.stream(answer) if job.stream else writing.whole(answer)
            finished = await while_connected(receive, work)
            otherwise = "error" if finished else "abort"
        finally:
            for tokens in accepted:
                tokens.close()
            scope["state"]["notes"].update(
                prompt_tokens=job.prompt_tokens,
                completion_tokens=state.completion_tokens,
                finish_reason=state.end(otherwise),
            )

    def _reading(self) -> Reading:
        tokenizer = self._model.tokenizer
        return Reading(
            decode=tokenizer.decode,
            token_bytes=tokenizer.token_bytes,
            stops=self._job.stops,
            min_tokens=self._job.requests[0].sampling.min_tokens,
            calls=self._job.calls,
        )


class _Writing:
    """Write the pieces of one answer to one client."""

    def __init__(self, job: Job, state: AnswerState, limits: AnswerLimits, way: "_Way") -> None:
        self._job = job
        self._limits = limits
        self._started = asyncio.get_running_loop().time()
        self._state = state
        self._way = way

    async def whole(self, answer: Pieces) -> None:
        async with self._clock() as clock, aclosing(answer):
            async for index, piece in answer:
                self._take(index, piece, clock)
        if self._job.requests[0].sampling.logprobs is None:
            body = self._whole()
        else:
            # 16 answers of 4,000 tokens with 20 each are seconds of work: not on the event loop.
            body = await asyncio.to_thread(self._whole)
        length = str(len(body))
        await self._way.begin({"content-type": "application/json", "content-length": length})
        await self._way.end(body)

    async def stream(self, answer: Pieces) -> None:
        writers = self._writers()
        begun = False
        try:
            async with self._clock() as clock, aclosing(answer):
                async for index, piece in answer:
                    self._take(index, piece, clock)
                    if begun:
                        await self._way.part(self._events(writers[index], index, piece))
                    else:
                        await self._way.begin(EVENT_STREAM)
                        begun = True
                        opening = b"".join([self._opening(writer) for writer in writers])
                        await self._way.part(opening + self._events(writers[index], index, piece))
        except ApiError as error:
            if not begun:
                raise
            await self._way.part(sse.error_event(error.problem.document()))
        await self._way.end()

    def _writers(self) -> list[sse.ChunkWriter]:
        job = self._job
        return [
            sse.ChunkWriter(job.head, chat=job.chat, with_usage=job.with_usage, index=index)
            for index in range(len(job.requests))
        ]

    def _opening(self, writer: sse.ChunkWriter) -> bytes:
        opening = writer.opening(may_call=self._job.calls is not None)
        return opening + (writer.text(self._job.echo) if self._job.echo else b"")

    def _whole(self) -> bytes:
        choices = [choice.choice() for choice in self._state.choices]
        if self._job.only_text:
            return sse.only_text(choices[0].text)
        return sse.whole_answer(
            self._job.head, chat=self._job.chat, choices=choices, usage=self._state.usage()
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
            if self._state.completion_tokens == 0:
                raise errors.first_token_late(limits.first_token_seconds) from None
            raise errors.answer_late(limits.answer_seconds) from None

    def _events(self, writer: sse.ChunkWriter, index: int, piece: Piece) -> bytes:
        logprobs = self._state.choices[index].logprobs_of(piece)
        events = writer.text(piece.text, logprobs) if piece.text or logprobs else b""
        if piece.calls:
            events += b"".join([writer.call(call) for call in piece.calls])
        if piece.finish_reason is not None:
            events += writer.closing(piece.finish_reason)
            if self._state.has_ended:
                events += writer.usage(self._state.usage()) + sse.DONE
        return events

    def _take(self, index: int, piece: Piece, clock: asyncio.Timeout) -> None:
        if self._state.completion_tokens == 0:
            clock.reschedule(self._started + self._limits.answer_seconds)
        self._state.take(index, piece)


class _Way:
    """Send an answer's bytes: through ASGI, but parts of a stream straight to the connection."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self._send_chunk: Callable[[bytes], bool] = scope["state"].get("send_chunk", _ordinary)

    async def begin(self, headers: Mapping[str, str]) -> None:
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": raw})

    async def part(self, data: bytes) -> None:
        """Send in one write to the socket; wait where the client does not keep up."""
        if data and not self._send_chunk(data):
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": data})


def _ordinary(_data: bytes) -> bool:
    return False
