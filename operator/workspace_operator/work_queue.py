"""
Run one pass per Workspace at a time, soon, and never let one Workspace disturb another.

Events arrive in bursts and out of order, so an event only says *that* a key is worth a look. A key
that is added ten times before its turn is looked at once; a key that is added during its own pass
is looked at once more afterwards.

What a pass has to tell (status, event) may wait while other keys wait for a pass: machines first,
words later. A later pass of the key replaces what an earlier one did not come to tell. Pass and
telling of one key never overlap, so a pass always knows what has been told. Nobody waits for ever:
a telling that is overdue gets every eighth turn, later where the key's own next pass waits already.

A pass that raises is tried again after a pause that doubles each time, and so is one whose telling
raises. An error may ask for more: then the key is held, and events do not shorten the pause. After
`BREAKER_FAILURES` in a row the breaker of a key is open, which holds it too: a poisoned Workspace
costs two passes a minute, however loud it is. Only who `insist`s is heard: its author, who has
changed it or wants it gone.

Must not know what a key means, nor import the cluster.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import islice
from typing import Generic, Protocol, TypeVar

from workspace_operator.pauses import BREAKER_FAILURES, pause_seconds, spread

K = TypeVar("K", bound=Hashable)
K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)

logger = logging.getLogger(__name__)

# Between two tellings of one key: steps that follow each other more closely are told as one.
TELL_EVERY_SECONDS = 0.5
OVERDUE_SECONDS = 2.0
OVERDUE_BEFORE_A_PASS_SECONDS = 30.0  # for one whose next pass may have something else to tell
OVERDUE_TURNS = 8
LOOKED_AT = 64  # of those that wait to be told, when one is chosen while passes wait
MOST_UNTOLD = 5_000  # each holds a packed status, about a kilobyte; beyond, telling comes first
MOST_TELLING = 4  # at once, so that a pass never waits behind many


class Telling(Protocol[K_contra]):
    """Be the part of a pass that may wait."""

    def has_news(self, key: K_contra) -> bool:
        """Say whether the last pass of a key left something to tell."""

    async def tell(self, key: K_contra) -> None:
        """Tell it; what is raised counts as a failed pass."""


class NothingToTell(Generic[K]):
    """Do everything within the pass."""

    def has_news(self, _key: K) -> bool:
        """Say that nothing is left."""
        return False

    async def tell(self, _key: K) -> None:
        """Tell nothing."""


class _Job(Enum):
    PASS = auto()
    TELL = auto()


@dataclass(slots=True)
class _Entry:
    """Remember one key between its passes."""

    running: bool = False
    again: bool = False
    passed: bool = True
    failures: int = 0
    must_wait: bool = False
    told_at: float = float("-inf")
    timer: asyncio.TimerHandle | None = None
    tell_timer: asyncio.TimerHandle | None = None

    @property
    def breaker_is_open(self) -> bool:
        return self.failures >= BREAKER_FAILURES

    @property
    def is_held(self) -> bool:
        return self.timer is not None and (self.must_wait or self.breaker_is_open)

    @property
    def is_idle(self) -> bool:
        return not (self.running or self.failures or self.timer or self.tell_timer)


@dataclass(slots=True)
class WorkQueue(Generic[K]):
    """
    Call `handle(key)` for every added key, each key alone, `workers` keys at a time.

    Args:
        handle: Does one pass; returns the seconds until the next one, or None to wait for an event.
        workers: How many keys may be in hand at once.
        least_pause: Seconds that an error asks us to wait at least.
        telling: What a pass leaves to be done when nothing more urgent waits.

    """

    handle: Callable[[K], Awaitable[float | None]]
    workers: int
    least_pause: Callable[[Exception], float] = field(default=lambda _error: 0.0)
    telling: Telling[K] = field(default_factory=NothingToTell)
    _entries: dict[K, _Entry] = field(default_factory=dict)
    _ready: dict[K, None] = field(default_factory=dict)  # in order, for a pass
    _untold: dict[K, float] = field(default_factory=dict)  # in order, with the time since when
    _group: asyncio.TaskGroup | None = None
    _in_hand: int = 0
    _telling_now: int = 0
    _turns: int = 0

    def add(self, key: K) -> None:
        """Look at the key as soon as possible, unless it is held."""
        entry = self._entries.setdefault(key, _Entry())
        if not entry.is_held:
            self._enqueue(key, entry)

    def insist(self, key: K) -> None:
        """Look at the key as soon as possible, held or not."""
        self._enqueue(key, self._entries.setdefault(key, _Entry()))

    def __len__(self) -> int:
        """Count the keys that wait for a pass."""
        return len(self._ready)

    @property
    def open_breakers(self) -> int:
        """Count the keys whose passes keep failing."""
        return sum(entry.breaker_is_open for entry in self._entries.values())

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                self._dispatch()
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None

    def _dispatch(self) -> None:
        """Give work to every free hand."""
        while self._group is not None and self._in_hand < self.workers:
            found = self._next()
            if found is None:
                return
            self._entries[found[1]].running = True
            self._in_hand += 1
            self._telling_now += found[0] is _Job.TELL
            self._group.create_task(self._work(*found))

    def _next(self) -> tuple[_Job, K] | None:
        """Choose a key that waits for a pass, or one that only has something to tell."""
        self._turns += 1
        key = self._to_be_told()
        if key is not None:
            del self._untold[key]
            if key in self._ready:  # its pass has to wait for its telling
                del self._ready[key]
                self._entries[key].again = True
            return _Job.TELL, key
        key = next(iter(self._ready), None)
        if key is None:
            return None
        del self._ready[key]
        return _Job.PASS, key

    def _to_be_told(self) -> K | None:
        """Choose a key whose news should come before the passes that wait."""
        if not self._untold or self._telling_now >= MOST_TELLING:
            return None
        idle = (each for each in self._untold.items() if not self._entries[each[0]].running)
        if not self._ready or len(self._untold) > MOST_UNTOLD:
            return next((key for key, _ in idle), None)
        if self._turns % OVERDUE_TURNS != 0:
            return None
        now = asyncio.get_running_loop().time()
        for key, since in islice(idle, LOOKED_AT):
            patience = OVERDUE_BEFORE_A_PASS_SECONDS if key in self._ready else OVERDUE_SECONDS
            if now - since > patience:
                return key
        return None

    async def _work(self, job: _Job, key: K) -> None:
        entry = self._entries[key]
        try:
            if job is _Job.PASS:
                await self._pass(key, entry)
            else:
                await self._tell(key, entry)
        finally:
            entry.running = False
            self._in_hand -= 1
            self._telling_now -= job is _Job.TELL
        if job is _Job.PASS and self.telling.has_news(key):
            self._plan_telling(key, entry)
        if entry.again:
            entry.again = False
            self._enqueue(key, entry)
        elif entry.is_idle and key not in self._untold:
            del self._entries[key]
        self._dispatch()

    async def _pass(self, key: K, entry: _Entry) -> None:
        entry.passed = False
        try:
            seconds = await self.handle(key)
        except Exception as error:  # noqa: BLE001 - no Workspace may end the others
            self._fail(key, entry, error)
        else:
            entry.passed, entry.must_wait = True, False
            if not self.telling.has_news(key):
                entry.failures = 0
            if seconds is not None:
                self._set_timer(key, entry, spread(seconds))

    async def _tell(self, key: K, entry: _Entry) -> None:
        entry.told_at = asyncio.get_running_loop().time()
        try:
            await self.telling.tell(key)
        except Exception as error:  # noqa: BLE001 - no Workspace may end the others
            self._fail(key, entry, error)
        else:
            if entry.passed:
                entry.failures = 0

    def _fail(self, key: K, entry: _Entry, error: Exception) -> None:
        entry.failures += 1
        least = self.least_pause(error)
        entry.must_wait = least > 0
        pause = spread(pause_seconds(entry.failures, at_least=least))
        logger.warning(
            "pass failed",
            extra={"key": str(key), "failures": entry.failures, "retry_seconds": pause},
            exc_info=error,
        )
        self._set_timer(key, entry, pause)
        entry.again = entry.again and not entry.is_held

    def _plan_telling(self, key: K, entry: _Entry) -> None:
        """Let the key wait for its turn to tell what the pass left."""
        if key in self._untold or entry.tell_timer is not None:
            return
        loop = asyncio.get_running_loop()
        at = entry.told_at + TELL_EVERY_SECONDS
        if at <= loop.time():
            self._untold[key] = loop.time()
        else:
            entry.tell_timer = loop.call_at(at, self._queue_telling, key, entry)

    def _queue_telling(self, key: K, entry: _Entry) -> None:
        entry.tell_timer = None
        self._untold[key] = asyncio.get_running_loop().time()
        self._dispatch()

    def _enqueue(self, key: K, entry: _Entry) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        if entry.running:
            entry.again = True
        else:
            self._ready[key] = None
            self._dispatch()

    def _set_timer(self, key: K, entry: _Entry, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if entry.timer is not None:
            if entry.timer.when() <= loop.time() + seconds:
                return
            entry.timer.cancel()
        entry.timer = loop.call_later(seconds, self._enqueue, key, entry)
