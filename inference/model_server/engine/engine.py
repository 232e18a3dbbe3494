"""
Run the model in one thread and let the event loop ask for tokens.

There is one door each way: a queue of messages into the thread, and one call of the loop per step
out of it, with every token of the step. The thread's loop reads

    take messages in -> schedule -> step -> update -> deliver

and nothing else touches the scheduler or the runner. A step that fails ends the requests of its
batch, one that ran out of memory ends its largest request and the others go on; a runner that is
lost, or a fault in the scheduling itself, ends the thread: everything open is failed, `is_alive`
turns False and the process is to be replaced.

Invariant: a request that `generate` accepted gets exactly one finish reason, or its reader left.
Must not import torch.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass

from model_server.engine.admission import check_adapter, check_tokens, completed
from model_server.engine.batch import OutOfMemory, Runner, RunnerLost
from model_server.engine.engine_state import AdapterUse, EngineLimits, EngineStatistics
from model_server.engine.request import (
    EngineStopped,
    FinishReason,
    QueueFull,
    Request,
    TokenOutput,
    require,
)
from model_server.engine.scheduler import Scheduler, SchedulerLimits, check_length
from model_server.engine.token_stream import TokenStream

logger = logging.getLogger(__name__)

IDLE_BEAT_SECONDS = 1.0  # how often an idle thread shows that it lives
JOIN_SECONDS = 10.0  # how long `stop` waits for a step that is under way
RETRY_AFTER_MOST_SECONDS = 60
RECENT_FINISHES = 32  # that the advice to come back later is worked out from
# So many steps without memory in so short a time are no accident of one request.
MANY_OUT_OF_MEMORY = 3
OUT_OF_MEMORY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Cancel:
    request_id: str


class _Stop:
    pass


class Engine:
    """Accept requests on the event loop, answer tokens from the thread."""

    def __init__(self, runner: Runner, limits: EngineLimits) -> None:
        """Make the scheduler for this runner; nothing runs before `start`."""
        self._runner = runner
        self._limits = limits
        self._scheduler = Scheduler(
            SchedulerLimits(
                max_sequences=limits.max_sequences,
                max_batch_tokens=limits.max_batch_tokens,
                max_mixed_tokens=limits.max_mixed_tokens,
                max_model_len=runner.max_model_len,
                block_size=runner.block_size,
                block_count=runner.block_count,
                sliding_window=runner.sliding_window,
                eos_token_ids=runner.eos_token_ids,
            )
        )
        self._inbox: queue.SimpleQueue[Request | _Cancel | _Stop] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._statistics = EngineStatistics(kv_blocks_total=runner.block_count)
        self._heartbeat = time.monotonic()
        self._out_of_memory_at: deque[float] = deque(maxlen=MANY_OUT_OF_MEMORY)
        self._device_lost = False
        # Of the event loop:
        self._streams: dict[str, TokenStream] = {}
        self._accepting = False
        self._drained = asyncio.Event()
        self._finished_at: deque[float] = deque(maxlen=RECENT_FINISHES)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs: False before `start`, after `stop` and after a fatal fault."""
        return self._thread.is_alive()

    @property
    def has_lost_device(self) -> bool:
        """Whether the thread ended because the device will not compute again."""
        return self._device_lost

    @property
    def is_short_of_memory(self) -> bool:
        """Whether steps have run out of memory again and again, and recently."""
        recent = tuple(self._out_of_memory_at)
        return (
            len(recent) == MANY_OUT_OF_MEMORY
            and time.monotonic() - recent[0] < OUT_OF_MEMORY_SECONDS
        )

    @property
    def longest_request(self) -> int:
        """Longest prompt and answer together, in tokens."""
        return self._scheduler.limits.longest

    @property
    def block_size(self) -> int:
        """Tokens that one block of the cache holds."""
        return self._runner.block_size

    @property
    def vocabulary_size(self) -> int:
        """Token ids that the model knows: all from 0 to below this."""
        return self._runner.vocabulary_size

    def heartbeat_age_seconds(self) -> float:
        """Age of the thread's latest sign of life: grows while a step takes long or hangs."""
        return time.monotonic() - self._heartbeat

    def statistics(self) -> EngineStatistics:
        """Show the engine as it was after its latest step."""
        return self._statistics

    def start(self) -> None:
        """Start the thread; call it on the event loop that will ask for tokens."""
        self._loop = asyncio.get_running_loop()
        self._accepting = True
        self._heartbeat = time.monotonic()
        self._thread.start()

    async def stop(self, drain_seconds: float) -> None:
        """Refuse new requests, let the open ones finish for so long, cancel the rest, end."""
        self._accepting = False
        if self._streams and self.is_alive:
            self._drained.clear()
            try:
                await asyncio.wait_for(self._drained.wait(), drain_seconds)
            except TimeoutError:
                logger.warning("engine_drain_ended", extra={"open_requests": len(self._streams)})
        self._inbox.put(_Stop())
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join, JOIN_SECONDS)
        self._end_all(FinishReason.CANCELLED, None)

    def generate(self, request: Request) -> TokenStream:
        """
        Accept a request and stream its tokens.

        Raises:
            EngineStopped: If the engine is not started, draining, stopped or dead.
            InvalidRequest: If a prompt id or the adapter is unknown, or the request id is taken.
            RequestTooLong: If prompt and answer together pass the context.
            QueueFull: If as many requests wait as may.
        """
        if not (self._accepting and self.is_alive):
            raise EngineStopped("the engine does not take requests")
        check_tokens(request, self._runner.vocabulary_size)
        check_adapter(request, self._runner.adapters)
        taken = request.request_id in self._streams
        require("request_id", request.request_id, not taken, "must not belong to an open request")
        check_length(request, self._scheduler.limits)
        if len(self._streams) >= self._limits.max_sequences + self._limits.max_queued:
            raise QueueFull(retry_after_seconds=self._retry_after_seconds())
        stream = TokenStream(request.request_id, self._cancel)
        self._streams[request.request_id] = stream
        self._inbox.put(completed(request, self._runner.eos_token_ids))
        return stream

    def _cancel(self, request_id: str) -> None:
        self._forget(request_id)
        self._inbox.put(_Cancel(request_id))

    def _forget(self, request_id: str) -> None:
        self._streams.pop(request_id, None)
        if not self._streams:
            self._drained.set()

    def _retry_after_seconds(self) -> int:
        """Estimate when a place becomes free: the mean time between recent finishes."""
        if len(self._finished_at) < 2:  # noqa: PLR2004 - an interval has two ends
            return 1
        spent = self._finished_at[-1] - self._finished_at[0]
        mean = spent / (len(self._finished_at) - 1)
        return max(1, min(RETRY_AFTER_MOST_SECONDS, round(mean + 0.5)))

    def _receive(self, outputs: list[TokenOutput]) -> None:
        """Hand a step's outputs to their readers, on the event loop."""
        for output in outputs:
            stream = self._streams.get(output.request_id)
            if stream is None:
                continue  # its reader left while the step ran
            stream.push(output)
            if output.finish_reason is not None:
                self._finished_at.append(time.monotonic())
                self._forget(output.request_id)

    def _end_all(self, reason: FinishReason, error: str | None) -> None:
        self._accepting = False
        for request_id, stream in list(self._streams.items()):
            stream.push(TokenOutput(request_id=request_id, finish_reason=reason, error=error))
            self._forget(request_id)

    # The thread, from here on.

    def _run(self) -> None:
        end: str | None = "the engine's thread ended without a word"
        try:
            while self._take_messages():
                self._step()
            end = None
        except Exception as error:
            # The boundary of the thread: whatever broke must reach every reader.
            logger.exception("engine_died")
            self._device_lost = isinstance(error, RunnerLost)
            end = f"the engine ended: {type(error).__name__}: {error}"
        finally:
            if end is not None:  # also where what broke is no Exception, as SystemExit is none
                self._post_end(end)

    def _take_messages(self) -> bool:
        """Take in what was asked since the last step, waiting if idle; False to end."""
        self._heartbeat = time.monotonic()
        idle = not (self._scheduler.running or self._scheduler.waiting)
        while True:
            try:
                message = self._inbox.get(block=idle, timeout=IDLE_BEAT_SECONDS)
            except queue.Empty:
                return True
            idle = False
            match message:
                case Request():
                    self._scheduler.add(message)
                case _Cancel(request_id):
                    self._scheduler.cancel(request_id)
                case _Stop():
                    return False

    def _step(self) -> None:
        batch = self._scheduler.schedule()
        if batch is None:
            self._publish(computed=0, generated=0, steps=0)
            return
        try:
            outcomes = self._runner.step(batch)
        except RunnerLost:
            raise
        except OutOfMemory as error:
            logger.warning("engine_out_of_memory", extra={"tokens": batch.token_count})
            outputs = self._scheduler.fail_largest(batch, str(error))
            self._out_of_memory_at.append(time.monotonic())
            generated = 0
        except Exception as error:
            # The boundary of a step: its fault must not reach the other requests.
            logger.exception("engine_step_failed", extra={"requests": len(batch.items)})
            outputs = self._scheduler.fail(batch, f"{type(error).__name__}: {error}")
            generated = 0
        else:
            outputs = self._scheduler.update(batch, outcomes)
            generated = sum(len(output.token_ids) for output in outputs)
        self._publish(computed=batch.token_count, generated=generated, steps=1)
        if outputs:
            self._post(outputs)

    def _publish(self, *, computed: int, generated: int, steps: int) -> None:
        before = self._statistics
        scheduler = self._scheduler
        self._statistics = EngineStatistics(
            running=scheduler.running,
            waiting=scheduler.waiting,
            kv_blocks_used=scheduler.pool.used,
            kv_blocks_total=scheduler.pool.total,
            steps=before.steps + steps,
            tokens_computed=before.tokens_computed + computed,
            tokens_generated=before.tokens_generated + generated,
            preemptions=scheduler.preemptions,
            prefix_tokens_asked=scheduler.prefix_tokens_asked,
            prefix_tokens_found=scheduler.prefix_tokens_found,
            adapters=scheduler.adapters() if self._runner.adapters else AdapterUse(),
        )

    def _post(self, outputs: list[TokenOutput]) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._receive, outputs)

    def _post_end(self, error: str) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
                self._loop.call_soon_threadsafe(self._end_all, FinishReason.ERROR, error)
