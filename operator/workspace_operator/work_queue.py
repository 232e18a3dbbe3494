"""
Run one pass per Workspace at a time, soon, and never let one Workspace disturb another.

Events arrive in bursts and out of order, so an event only says *that* a key is worth a look. A key
that is added ten times before its turn is looked at once; a key that is added during its own pass
is looked at once more afterwards.

A pass that raises is tried again after a pause that doubles each time. After `BREAKER_FAILURES` in
a row the breaker of that key is open: from then on events no longer shorten the pause, so a
poisoned Workspace costs two passes a minute, however loud it is.

Must not know what a key means, nor import the cluster.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 60.0
BREAKER_FAILURES = 10
BREAKER_PAUSE_SECONDS = 30.0
JITTER = 0.2


def pause_seconds(failures: int, *, at_least: float = 0.0) -> float:
    """Return how long to wait after this many failures in a row, before jitter."""
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 16))
    if failures >= BREAKER_FAILURES:
        pause = max(pause, BREAKER_PAUSE_SECONDS)
    return max(pause, at_least)


def spread(seconds: float) -> float:
    """Add up to `JITTER` so that many keys do not come back as one wave; never come sooner."""
    return seconds * (1 + random.uniform(0, JITTER))  # noqa: S311 - jitter is no secret


@dataclass(slots=True)
class _Entry:
    """Remember one key between its passes."""

    running: bool = False
    again: bool = False
    queued: bool = False
    failures: int = 0
    timer: asyncio.TimerHandle | None = None

    @property
    def breaker_is_open(self) -> bool:
        return self.failures >= BREAKER_FAILURES

    @property
    def is_idle(self) -> bool:
        return not (self.running or self.queued or self.failures or self.timer)


@dataclass(slots=True)
class WorkQueue(Generic[K]):
    """
    Call `handle(key)` for every added key, each key alone, `workers` keys at a time.

    Args:
        handle: Does one pass; returns the seconds until the next one, or None to wait for an event.
        workers: How many keys may be in hand at once.
        least_pause: Seconds that an error asks us to wait at least.

    """

    handle: Callable[[K], Awaitable[float | None]]
    workers: int
    least_pause: Callable[[Exception], float] = field(default=lambda _error: 0.0)
    _entries: dict[K, _Entry] = field(default_factory=dict)
    _ready: asyncio.Queue[K] = field(default_factory=asyncio.Queue)

    def add(self, key: K) -> None:
        """Look at the key as soon as possible, unless its breaker is open."""
        entry = self._entries.setdefault(key, _Entry())
        if entry.breaker_is_open and entry.timer is not None:
            return
        self._enqueue(key, entry)

    def add_after(self, key: K, seconds: float) -> None:
        """Look at the key after some seconds, or sooner if something happens."""
        entry = self._entries.setdefault(key, _Entry())
        self._set_timer(key, entry, seconds)

    def __len__(self) -> int:
        """Count the keys that wait for a worker."""
        return self._ready.qsize()

    @property
    def open_breakers(self) -> int:
        """Count the keys whose passes keep failing."""
        return sum(entry.breaker_is_open for entry in self._entries.values())

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self.workers):
                group.create_task(self._work(), name=f"worker {number}")

    async def _work(self) -> None:
        while True:
            key = await self._ready.get()
            entry = self._entries[key]
            entry.queued, entry.running = False, True
            await self._pass(key, entry)
            entry.running = False
            if entry.again:
                entry.again = False
                self._enqueue(key, entry)
            elif entry.is_idle:
                del self._entries[key]

    async def _pass(self, key: K, entry: _Entry) -> None:
        try:
            seconds = await self.handle(key)
        except Exception as error:
            entry.failures += 1
            pause = spread(pause_seconds(entry.failures, at_least=self.least_pause(error)))
            logger.warning(
                "pass failed",
                extra={"key": str(key), "failures": entry.failures, "retry_seconds": pause},
                exc_info=error,
            )
            entry.again = entry.again and not entry.breaker_is_open
            self._set_timer(key, entry, pause)
        else:
            entry.failures = 0
            if seconds is not None:
                self._set_timer(key, entry, spread(seconds))

    def _enqueue(self, key: K, entry: _Entry) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        if entry.running:
            entry.again = True
        elif not entry.queued:
            entry.queued = True
            self._ready.put_nowait(key)

    def _set_timer(self, key: K, entry: _Entry, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if entry.timer is not None:
            if entry.timer.when() <= loop.time() + seconds:
                return
            entry.timer.cancel()
        entry.timer = loop.call_later(seconds, self._enqueue, key, entry)
