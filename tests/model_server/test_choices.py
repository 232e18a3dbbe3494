"""Several answers are read as they come, and left together."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from model_server.api.choices import merged
from model_server.api.errors import ApiError, internal
from model_server.api.generation import Piece


class Source:
    """Yield pieces as the test hands them out; remember whether it was left."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        self.left = False

    async def answer(self) -> AsyncGenerator[Piece, None]:
        try:
            while (item := await self.queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield Piece(text=item, new_tokens=1)
        finally:
            self.left = True


async def test_pieces_come_in_the_order_in_which_they_arrive() -> None:
    sources = [Source(), Source(), Source()]
    reading = merged([source.answer() for source in sources])
    seen = []
    for index, text in ((2, "a"), (0, "b"), (2, "c"), (1, "d")):
        sources[index].queue.put_nowait(text)
        choice, piece = await anext(reading)
        seen.append((choice, piece.text))
    for source in sources:
        source.queue.put_nowait(None)
    assert [piece async for piece in reading] == []
    assert seen == [(2, "a"), (0, "b"), (2, "c"), (1, "d")]


async def test_an_answer_that_ends_does_not_end_the_others() -> None:
    sources = [Source(), Source()]
    sources[0].queue.put_nowait(None)
    for item in ("a", "b", None):
        sources[1].queue.put_nowait(item)
    pieces = [(choice, p.text) async for choice, p in merged([s.answer() for s in sources])]
    assert pieces == [(1, "a"), (1, "b")]


@pytest.mark.parametrize("count", [1, 3])
async def test_leaving_early_leaves_all(count: int) -> None:
    sources = [Source() for _ in range(count)]
    sources[0].queue.put_nowait("a")
    async with aclosing(merged([source.answer() for source in sources])) as reading:
        await anext(reading)
    assert all(source.left for source in sources)


async def test_one_that_fails_fails_the_whole_and_leaves_the_others() -> None:
    sources = [Source(), Source()]
    sources[1].queue.put_nowait(internal())
    with pytest.raises(ApiError):
        await anext(merged([source.answer() for source in sources]))
    await asyncio.sleep(0)
    assert all(source.left for source in sources)
