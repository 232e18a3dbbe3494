"""The threads of a product get a processor each, and only where nobody else could want it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from model_server.compute.processors import spread_threads

PROCESSORS = sorted(os.sched_getaffinity(0))
several = pytest.mark.skipif(len(PROCESSORS) == 1, reason="one processor is shared anyway")


class Pool:
    """Start threads as a library does at its first product, and keep them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.threads: list[threading.Thread] = []
        self._over = threading.Event()

    def start(self) -> None:
        self.threads = [threading.Thread(target=self._over.wait) for _ in range(self.size)]
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        self._over.set()
        for thread in self.threads:
            thread.join()

    def places(self) -> list[set[int]]:
        """Return the processors of each: the calling thread first."""
        ids = [thread.native_id or 0 for thread in self.threads]
        return [os.sched_getaffinity(thread) for thread in [0, *ids]]


@contextmanager
def pool_of(size: int) -> Iterator[Pool]:
    pool = Pool(size)
    try:
        yield pool
    finally:
        pool.end()


def spread_in_a_thread(pool: Pool, count: int) -> tuple[bool, list[set[int]]]:
    """Call it in a thread of its own, which ends: the test's thread stays free."""
    results: list[tuple[bool, list[set[int]]]] = []

    def run() -> None:
        is_bound = spread_threads(pool.start, count)
        results.append((is_bound, pool.places()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


@several
def test_each_thread_gets_a_processor_of_its_own() -> None:
    with pool_of(len(PROCESSORS) - 1) as pool:
        is_bound, places = spread_in_a_thread(pool, len(PROCESSORS))
    assert is_bound
    assert sorted(min(place) for place in places) == PROCESSORS
    assert all(len(place) == 1 for place in places)
    assert sorted(os.sched_getaffinity(0)) == PROCESSORS, "nobody else is bound"


@several
@pytest.mark.parametrize("stray", [-1, 1])
def test_threads_of_somebody_else_leave_all_of_them_free(stray: int) -> None:
    with pool_of(len(PROCESSORS) - 1 + stray) as pool:
        is_bound, places = spread_in_a_thread(pool, len(PROCESSORS))
    assert not is_bound
    assert all(sorted(place) == PROCESSORS for place in places)


@pytest.mark.parametrize("count", [1, len(PROCESSORS) + 1])
def test_where_processors_are_more_or_fewer_the_kernel_places(count: int) -> None:
    with pool_of(count - 1) as pool:
        is_bound, _ = spread_in_a_thread(pool, count)
        assert not pool.threads, "nothing was computed for it"
    assert not is_bound


@several
def test_fewer_threads_than_processors_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(64)))
    with pool_of(1) as pool:
        assert not spread_threads(pool.start, 2)
        assert not pool.threads
