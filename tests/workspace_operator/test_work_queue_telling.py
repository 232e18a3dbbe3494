"""What a pass has to tell comes after the passes that wait, soon, and never beside its own pass."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from workspace_operator.pauses import BREAKER_FAILURES, FIRST_PAUSE_SECONDS, JITTER
from workspace_operator.work_queue import (
    MOST_TELLING,
    MOST_UNTOLD,
    OVERDUE_BEFORE_A_PASS_SECONDS,
    OVERDUE_SECONDS,
    TELL_EVERY_SECONDS,
    WorkQueue,
)

Run = Callable[[Coroutine[Any, Any, None]], None]


class Story:
    """Passes that always leave news, and a log of who did what when."""

    def __init__(
        self, *, pass_lasts: float = 0.0, tell_lasts: float = 0.0, asks: float = 1_000
    ) -> None:
        self.log: list[tuple[str, str, float]] = []
        self.news: set[str] = set()
        self.in_hand: set[str] = set()
        self.telling = 0
        self.most_telling = 0
        self.refuses = False
        self.pass_lasts, self.tell_lasts = pass_lasts, tell_lasts
        self.asks = asks

    async def handle(self, key: str) -> float | None:
        self._begin("pass", key)
        await asyncio.sleep(self.pass_lasts)
        self.in_hand.remove(key)
        self.news.add(key)
        return self.asks

    def has_news(self, key: str) -> bool:
        return key in self.news

    async def tell(self, key: str) -> None:
        self._begin("tell", key)
        self.telling += 1
        self.most_telling = max(self.telling, self.most_telling)
        await asyncio.sleep(self.tell_lasts)
        self.telling -= 1
        self.in_hand.remove(key)
        if self.refuses:
            raise ConnectionError
        self.news.discard(key)

    def _begin(self, what: str, key: str) -> None:
        assert key not in self.in_hand, "a key is in two hands"
        self.in_hand.add(key)
        self.log.append((what, key, asyncio.get_running_loop().time()))

    def times(self, what: str) -> list[float]:
        return [at for done, _, at in self.log if done == what]

    def queue(self, workers: int = 1) -> WorkQueue[str]:
        return WorkQueue(self.handle, workers=workers, telling=self)


async def work(queue: WorkQueue[str], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await queue.run()
    except TimeoutError:
        pass


def test_passes_of_others_come_before_what_there_is_to_tell(in_virtual_time: Run) -> None:
    async def main() -> None:
        story = Story(pass_lasts=0.1, tell_lasts=0.1)
        queue = story.queue()
        for key in "abc":
            queue.add(key)
        await work(queue, 5)
        assert [f"{what} {key}" for what, key, _ in story.log] == [
            *("pass a", "pass b", "pass c"),
            *("tell a", "tell b", "tell c"),
        ]

    in_virtual_time(main())


def test_steps_that_follow_each_other_closely_are_told_as_one(in_virtual_time: Run) -> None:
    async def main() -> None:
        story = Story()
        queue = story.queue()
        loop = asyncio.get_running_loop()
        for step in range(6):
            loop.call_later(step * 0.05, queue.add, "a")
        await work(queue, 5)
        assert len(story.times("pass")) == 6
        assert story.times("tell") == [0, TELL_EVERY_SECONDS], "the first at once, the rest as one"

    in_virtual_time(main())


def test_what_is_overdue_is_told_although_passes_wait(in_virtual_time: Run) -> None:
    async def main() -> None:
        story = Story(pass_lasts=0.1, tell_lasts=0.1)
        queue = story.queue()
        for number in range(100):
            queue.add(f"key-{number}")
        await work(queue, 8)
        first = story.times("tell")[0]
        assert OVERDUE_SECONDS < first < OVERDUE_SECONDS + 1
        told, passed = (sum(at > first for at in story.times(each)) for each in ("tell", "pass"))
        assert 6 < passed / told < 9, "every eighth turn"

    in_virtual_time(main())


def test_what_the_next_pass_may_change_is_told_later(in_virtual_time: Run) -> None:
    """Of two that wait to be told, one waits for a pass too: it is told when that takes long."""

    async def main() -> None:
        story = Story(pass_lasts=0.1, tell_lasts=0.1)
        queue = story.queue()
        loop = asyncio.get_running_loop()
        queue.add("again")
        queue.add("done")
        for number in range(1_000):
            queue.add(f"key-{number}")
        loop.call_later(0.5, queue.add, "again")
        await work(queue, 60)
        told = {key: at for what, key, at in story.log if what == "tell"}
        assert OVERDUE_SECONDS < told["done"] < OVERDUE_SECONDS + 1
        assert OVERDUE_BEFORE_A_PASS_SECONDS < told["again"] < OVERDUE_BEFORE_A_PASS_SECONDS + 1

    in_virtual_time(main())


def test_a_pass_waits_for_the_telling_of_its_own_key(in_virtual_time: Run) -> None:
    async def main() -> None:
        story = Story(tell_lasts=1)
        queue = story.queue(workers=4)
        queue.add("a")
        asyncio.get_running_loop().call_later(0.5, queue.add, "a")
        await work(queue, 5)
        assert [(what, at) for what, _, at in story.log[:3]] == [
            ("pass", 0),
            ("tell", 0),
            ("pass", 1),
        ]

    in_virtual_time(main())


def test_few_hands_tell_so_that_a_pass_finds_one_free(in_virtual_time: Run) -> None:
    async def main() -> None:
        story = Story(tell_lasts=10)
        queue = story.queue(workers=16)
        for number in range(32):
            queue.add(f"key-{number}")
        asyncio.get_running_loop().call_later(1, queue.add, "late")
        await work(queue, 5)
        assert story.most_telling == MOST_TELLING
        assert ("pass", "late", 1) in story.log

    in_virtual_time(main())


def test_the_untold_do_not_pile_up(in_virtual_time: Run) -> None:
    async def main() -> None:
        story = Story(pass_lasts=0.0001, tell_lasts=0.0001)
        queue = story.queue()
        for number in range(MOST_UNTOLD * 2):
            queue.add(f"key-{number}")
        await work(queue, 0.9)
        assert len(story.times("tell")) > 100, "long before anything is overdue"
        assert len(story.news) <= MOST_UNTOLD + 1

    in_virtual_time(main())


def test_a_telling_that_fails_is_a_failed_pass(in_virtual_time: Run) -> None:
    async def main() -> None:
        story = Story()
        story.refuses = True
        queue = story.queue()
        queue.add("a")
        await work(queue, 900)
        assert queue.open_breakers == 1
        assert len(story.times("tell")) == len(story.times("pass")), "told once per pass"
        assert FIRST_PAUSE_SECONDS <= story.times("pass")[1] <= FIRST_PAUSE_SECONDS * (1 + JITTER)
        assert BREAKER_FAILURES < len(story.times("tell")) < 40
        story.refuses = False
        await work(queue, 100)
        assert queue.open_breakers == 0
        assert story.news == set()

    in_virtual_time(main())


def test_of_a_time_that_was_asked_for_and_a_pause_the_sooner_counts(in_virtual_time: Run) -> None:
    """The pass wants the key back before the telling that failed would."""

    async def main() -> None:
        story = Story(asks=FIRST_PAUSE_SECONDS / 2)
        story.refuses = True
        queue = story.queue()
        queue.add("a")
        await work(queue, FIRST_PAUSE_SECONDS)
        assert len(story.times("tell")) == 1
        first, second = story.times("pass")
        assert second - first <= story.asks * (1 + JITTER)

    in_virtual_time(main())
