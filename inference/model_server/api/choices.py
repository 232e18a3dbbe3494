"""
Read several answers to one request as they come.

`n` answers are `n` requests of the engine, which compute their common prompt once. Their pieces are
handed on in the order in which they arrive, each with the number of its choice. One answer, the
usual case, costs nothing of this.

Must not import torch, transformers, or anything of HTTP.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from model_server.api.generation import Piece

Answer = AsyncGenerator[Piece, None]


async def merged(answers: Sequence[Answer]) -> AsyncGenerator[tuple[int, Piece], None]:
    """
    Yield (choice, piece) until all answers have ended; leaving early leaves all of them.

    Raises:
        ApiError: The first that one of the answers raises; the others are left.
    """
    if len(answers) == 1:
        async with aclosing(answers[0]) as answer:
            async for piece in answer:
                yield 0, piece
        return
    reading = {asyncio.ensure_future(_next(answer)): i for i, answer in enumerate(answers)}
    try:
        while reading:
            done, _ = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=reading.__getitem__):
                choice = reading.pop(task)
                came = task.result()
                if came is not None:
                    reading[asyncio.ensure_future(_next(answers[choice]))] = choice
                    yield choice, came
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        for answer in answers:
            await answer.aclose()


async def _next(answer: Answer) -> Piece | None:
    return await anext(answer, None)
