"""One pass per key at a time, soon, and no key disturbs another."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workspace_operator.pauses import (
    BREAKER_FAILURES,
    BREAKER_PAUSE_SECONDS,
    JITTER,
    LONGEST_PAUSE_SECONDS,
    pause_seconds,
    spread,
)
from workspace_operator.work_queue import WorkQueue

Run = Callable[[Coroutine[Any, Any, None]], None]


async def work(queue: WorkQueue[str], seconds: float) -> None:
    """Let the queue work for some (virtual) seconds."""
    try:
        async with asyncio.timeout(seconds):
            await queue.run()
    except TimeoutError:
        pass


class Recorder:
    """A handler that remembers when it was called and answers as told."""

    def __init__(self, answer: float | Exception | None = None, lasts: float = 0.0) -> None:
        self.calls: list[tuple[str, float]] = []
        self.answers: dict[str, float | Exception | None] = {}
        self.answer = answer
        self.lasts = lasts
        self.in_hand: set[str] = set()
        self.most_in_hand = 0

    async def __call__(self, key: str) -> float | None:
        assert key not in self.in_hand, "two passes of one key at once"
        self.in_hand.add(key)
        self.most_in_hand = max(self.most_in_hand, len(self.in_hand))
        self.calls.append((key, asyncio.get_running_loop().time()))
        await asyncio.sleep(self.lasts)
        self.in_hand.remove(key)
        answer = self.answers.get(key, self.answer)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def times(self, key: str) -> list[float]:
        return [at for called, at in self.calls if called == key]


def test_a_burst_of_events_is_one_pass(in_virtual_time: Run) -> None:
    async def main() -> None:
        handle = Recorder()
        queue = WorkQueue(handle, workers=4)
        for _ in range(10):
            queue.add("a")
        await work(queue, 5)
        assert handle.times("a") == [0]

    in_virtual_time(main())


def test_an_event_during_a_pass_means_exactly_one_more(in_virtual_time: Run) -> None:
    async def main() -> None:
        handle = Recorder(lasts=1)
        queue = WorkQueue(handle, workers=4)
        queue.add("a")
        loop = asyncio.get_running_loop()
        loop.call_later(0.5, queue.add, "a")
        loop.call_later(0.6, queue.add, "a")
        await work(queue, 10)
        assert handle.times("a") == [0, 1]

    in_virtual_time(main())


def test_no_more_keys_in_hand_than_workers(in_virtual_time: Run) -> None:
    async def main() -> None:
        handle = Recorder(lasts=1)
        queue = WorkQueue(handle, workers=3)
        for number in range(10):
            queue.add(f"key-{number}")
        assert len(queue) == 10
        await work(queue, 100)
        assert handle.most_in_hand == 3
        assert len(handle.calls) == 10
        assert len(queue) == 0

    in_virtual_time(main())


def test_a_pass_may_ask_to_be_called_again(in_virtual_time: Run) -> None:
    async def main() -> None:
        handle = Recorder(answer=30)
        queue = WorkQueue(handle, workers=1)
        queue.add("a")
        await work(queue, 29)
        assert len(handle.times("a")) == 1
        await work(queue, 8)
        assert len(handle.times("a")) == 2

    in_virtual_time(main())


def test_an_event_comes_before_the_requested_time_and_replaces_it(in_virtual_time: Run) -> None:
    async def main() -> None:
        handle = Recorder(answer=5)
        queue = WorkQueue(handle, workers=1)
        queue.add("a")
        asyncio.get_running_loop().call_later(2, queue.add, "a")
        await work(queue, 6.9)
        assert handle.times("a") == [0, 2]

    in_virtual_time(main())


def test_a_failing_key_backs_off_and_the_others_go_on(in_virtual_time: Run) -> None:
    async def main() -> None:
        handle = Recorder(answer=1)
        handle.answers["poisoned"] = ValueError("poison")
        queue = WorkQueue(handle, workers=1)
        queue.add("poisoned")
        queue.add("healthy")
        await work(queue, 60)
        assert len(handle.times("healthy")) > 40
        pauses = [later - sooner for sooner, later in pairwise(handle.times("poisoned"))]
        assert pauses[0] == pytest.approx(0.2, rel=JITTER)
        assert pauses == sorted(pauses)

    in_virtual_time(main())


def test_success_forgets_earlier_failures(in_virtual_time: Run) -> None:
    async def main() -> None:
        handle = Recorder(answer=ValueError("for now"))
        queue = WorkQueue(handle, workers=1)
        queue.add("a")
        asyncio.get_running_loop().call_later(1, setattr, handle, "answer", None)
        await work(queue, 100)
        assert queue.open_breakers == 0
        assert queue._entries == {}, "an idle key costs no memory"

    in_virtual_time(main())


def test_an_open_breaker_ignores_events_and_shows(in_virtual_time: Run) -> None:
    async def main() -> None:
        handle = Recorder(answer=ValueError("poison"))
        queue = WorkQueue(handle, workers=1)
        queue.add("a")
        await work(queue, 300)
        assert queue.open_breakers == 1
        before = len(handle.calls)
        loop = asyncio.get_running_loop()
        for second in range(120):
            loop.call_later(second, queue.add, "a")
        await work(queue, 120)
        assert len(handle.calls) - before <= 120 / BREAKER_PAUSE_SECONDS

    in_virtual_time(main())


def test_events_shorten_the_pause_while_the_breaker_is_closed(in_virtual_time: Run) -> None:
    async def main() -> None:
        handle = Recorder(answer=ValueError("not yet"))
        queue = WorkQueue(handle, workers=1)
        queue.add("a")
        asyncio.get_running_loop().call_later(0.1, queue.add, "a")
        await work(queue, 0.15)
        assert handle.times("a") == [0, pytest.approx(0.1)]

    in_virtual_time(main())


def test_an_error_may_ask_for_a_longer_pause(in_virtual_time: Run) -> None:
    async def main() -> None:
        handle = Recorder(answer=ValueError("come back later"))
        queue = WorkQueue(handle, workers=1, least_pause=lambda _error: 7)
        queue.add("a")
        await work(queue, 20)
        assert handle.times("a")[1] >= 7

    in_virtual_time(main())


def test_a_failure_is_logged_with_its_key(
    in_virtual_time: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        queue = WorkQueue(Recorder(answer=ValueError("poison")), workers=1)
        queue.add("team/a")
        with caplog.at_level(logging.WARNING):
            await work(queue, 0.1)

    in_virtual_time(main())
    record = caplog.records[0]
    assert (record.getMessage(), record.__dict__["key"]) == ("pass failed", "team/a")


@given(st.integers(1, 10_000), st.floats(0, 600))
def test_pauses_are_bounded_and_never_shorter_than_asked(failures: int, at_least: float) -> None:
    pause = pause_seconds(failures, at_least=at_least)
    assert pause >= at_least
    assert pause <= max(LONGEST_PAUSE_SECONDS, at_least)
    assert pause_seconds(failures + 1) >= pause_seconds(failures)
    if failures >= BREAKER_FAILURES:
        assert pause >= BREAKER_PAUSE_SECONDS


@given(st.floats(0, 600))
def test_jitter_never_comes_early(seconds: float) -> None:
    assert seconds <= spread(seconds) <= seconds * (1 + JITTER)


class AskedToStayAway(Exception):
    """An error that names a pause."""


def test_events_do_not_shorten_the_pause_that_an_error_asks_for(in_virtual_time: Run) -> None:
    async def main() -> None:
        handle = Recorder(AskedToStayAway())
        handle.answers["good"] = None
        queue = WorkQueue(handle, workers=4, least_pause=lambda _: 30.0)
        queue.add("bad")
        loop = asyncio.get_running_loop()
        for second in range(1, 65):
            loop.call_later(second, queue.add, "bad")
            loop.call_later(second, queue.add, "good")
        await work(queue, 65)
        times = handle.times("bad")
        assert len(times) in {2, 3}
        assert all(30 <= after - before <= 36.1 for before, after in pairwise(times))
        assert len(handle.times("good")) == 64, "the others go on"

    in_virtual_time(main())


def test_the_author_of_a_held_key_is_heard_at_once(in_virtual_time: Run) -> None:
    async def main() -> None:
        handle = Recorder(AskedToStayAway())
        queue = WorkQueue(handle, workers=4, least_pause=lambda _: 30.0)
        queue.add("a")
        asyncio.get_running_loop().call_later(5, queue.insist, "a")
        await work(queue, 20)
        assert handle.times("a") == [0, 5]

    in_virtual_time(main())


def test_a_pass_that_works_holds_nobody_any_more(in_virtual_time: Run) -> None:
    async def main() -> None:
        handle = Recorder(AskedToStayAway())
        queue = WorkQueue(handle, workers=4, least_pause=lambda _: 3.0)
        queue.add("a")
        loop = asyncio.get_running_loop()
        loop.call_later(1, handle.answers.update, {"a": 60.0})
        loop.call_later(10, queue.add, "a")
        await work(queue, 20)
        assert len(handle.times("a")) == 3, "refused, done, and an event that is heard"

    in_virtual_time(main())
