"""
Hand the tokens of one request to one reader.

The engine pushes, a coroutine pulls; both run on the event loop, so nothing is locked. What the
reader has not taken yet is merged into one output: a slow reader costs its own tokens, no queue of
objects, and never holds the engine up.

Must not import torch.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Self

from model_server.engine.request import TokenOutput


class TokenStream(AsyncIterator[TokenOutput]):
    """
    Iterate over the outputs of one request; the last one carries the finish reason.

    Closing it, or cancelling a task that waits in it, before the last output cancels the request.
    """

    def __init__(self, request_id: str, cancel: Callable[[str], None]) -> None:
        """Keep what tells the engine that the reader has left."""
        self._request_id = request_id
        self._cancel = cancel
        self._pending: TokenOutput | None = None
        self._waiter: asyncio.Future[None] | None = None  # of the one reader, while it waits
        self._finished = False  # the engine has pushed the last output
        self._closed = False

    def __aiter__(self) -> Self:
        """Iterate over this very stream."""
        return self

    async def __anext__(self) -> TokenOutput:
        """Wait for something new and take all of it."""
        if not self._closed and self._pending is None and not self._finished:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            except asyncio.CancelledError:
                self.close()
                raise
        if self._closed or self._pending is None:
            raise StopAsyncIteration
        output, self._pending = self._pending, None
        return output

    async def aclose(self) -> None:
        """Leave, as contextlib.aclosing wants it."""
        self.close()

    def close(self) -> None:
        """Leave; cancels the request unless it has finished."""
        if not self._closed:
            self._closed = True
            self._wake()
            if not self._finished:
                self._cancel(self._request_id)

    def push(self, output: TokenOutput) -> None:
        """Add an output behind what the reader has not taken yet."""
        pending = self._pending
        self._pending = output if pending is None else _merge(pending, output)
        self._finished = self._finished or output.finish_reason is not None
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _merge(first: TokenOutput, second: TokenOutput) -> TokenOutput:
    return TokenOutput(
        request_id=first.request_id,
        token_ids=first.token_ids + second.token_ids,
        last_is_text=second.last_is_text,
        logprobs=first.logprobs + second.logprobs,
        cached_tokens=first.cached_tokens or second.cached_tokens,
        finish_reason=second.finish_reason,
        error=second.error,
    )
