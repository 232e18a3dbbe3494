"""The reader who times what is told sees each text once it stands there, and when that was."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

import pytest

from benchmarks.gates import judged
from benchmarks.told import GIVEN_UP, Reader, sayings

if TYPE_CHECKING:
    from benchmarks.cloud import QuickCloud
    from tests.world import Api


class Watched:
    """Stand for an API server, of which only one watch is read."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def watch(self, _path: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        while True:
            yield "MODIFIED", await self.events.get()


class Silent:
    """Stand for a cloud, and note what it is asked to write."""

    def __init__(self) -> None:
        self.written: list[Any] = []

    async def say(self, *what: Any) -> None:  # noqa: ANN401 - whatever is said
        self.written.append(what)

    speak_of = give_up = let_go = say


def workspace(name: str, *messages: str) -> dict[str, Any]:
    conditions = [{"type": f"C{number}", "message": each} for number, each in enumerate(messages)]
    return {"metadata": {"name": name}, "status": {"conditions": conditions}}


async def seen() -> None:
    watched = Watched()
    reader = Reader(cast("Api", watched))
    reading = asyncio.create_task(reader.run())
    began = time.monotonic()
    finding = asyncio.create_task(reader.finds("a", "no type"))
    watched.events.put_nowait({"metadata": {"name": "a"}})
    watched.events.put_nowait(workspace("b", "no type"))
    watched.events.put_nowait(workspace("a", "waiting", "another word"))
    await reader.finds("a", "another word")
    assert not finding.done(), "neither of another Workspace nor with another text"
    watched.events.put_nowait(workspace("a", "waiting", "there is no type"))
    at = await finding
    assert began <= at <= time.monotonic()
    assert await reader.finds("a", "no type") == at, "it stands there since then"
    reading.cancel()
    await asyncio.wait([reading])


def test_a_text_is_found_where_and_when_it_stands_there() -> None:
    asyncio.run(seen())


def test_every_text_is_another_and_is_what_is_written() -> None:
    cloud = Silent()
    said = sayings(cast("QuickCloud", cloud), "ws1")
    assert len({text for text, _ in said.values()}) == len(said)
    for what, (text, say) in said.items():
        cloud.written.clear()
        asyncio.run(say(text))
        assert cloud.written, what
        assert (text in str(cloud.written)) is (text != GIVEN_UP)


@pytest.mark.parametrize(("worst", "met"), [(1.0, True), (1.001, False)])
def test_the_worst_of_them_is_held_to_a_second(worst: float, met: bool) -> None:  # noqa: FBT001 - a row
    results = {"told": {"seconds": {"median": 0.5, "worst": worst}}}
    assert [gate["met"] for gate in judged(results)] == [met]
