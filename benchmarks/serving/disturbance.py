"""
Disturb a server that streams, and look at the others: W3, W4 and W5.

W3 sends requests at the moments of a Poisson process, whatever became of the ones before, so that a
slow server does not get fewer. W4 throws the longest prompt among streams and asks by how much
their p99 time between tokens grew, in units of what one chunk of a prompt takes. W5 asks for
prompts that begin alike.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from benchmarks.serving.client import Answer, ask
from benchmarks.serving.engines import Endpoint
from benchmarks.serving.figures import percentile
from benchmarks.serving.sweep import tell
from benchmarks.serving.workloads import Prompt, lognormal_length, poisson_arrivals

MakePrompts = Callable[[int, int, int], list[Prompt]]
CHUNK_TOKENS, LONG_TOKENS, STREAMS = 512, 900, 8  # the model's context is 1,024
SHARED_TOKENS = 700
RATES = (1.0, 2.0, 4.0, 8.0)  # requests/s of W3
OPEN_SECONDS = 20.0


def measure(endpoint: Endpoint, prompts: MakePrompts, repeats: int) -> dict[str, Any]:
    """Run the three against a server of the tiny model, which has a window."""
    endpoint.resume()
    return {
        "open_loop": asyncio.run(_open_loop(endpoint, prompts)),
        "long_prompt": asyncio.run(_long_prompt(endpoint, prompts, repeats)),
        "shared_prefix": asyncio.run(_shared_prefix(endpoint, prompts, repeats)),
    }


def shared_prefix(endpoint: Endpoint, prompts: MakePrompts, repeats: int) -> dict[str, Any]:
    """Run W5 alone, against a server of a model without a window."""
    endpoint.resume()
    return asyncio.run(_shared_prefix(endpoint, prompts, repeats))


async def _open_loop(endpoint: Endpoint, prompts: MakePrompts) -> dict[str, Any]:
    found = {}
    for rate in RATES:
        tell(f"open loop: {rate:g} requests/s")
        draws = random.Random(0)  # noqa: S311 - no secret
        bodies = []
        for number, due in enumerate(
            poisson_arrivals(per_second=rate, seconds=OPEN_SECONDS, seed=0)
        ):
            length = lognormal_length(draws, mean=220, least=8, most=600)
            count = lognormal_length(draws, mean=180, least=4, most=400)
            (prompt,) = prompts(1, length, number)
            bodies.append((due, endpoint.body(prompt, count, f"open-{rate}")))
        began = time.perf_counter()
        answers = await asyncio.gather(*(_at(began + due, endpoint, body) for due, body in bodies))
        found[f"{rate:g}"] = {
            "requests": len(answers),
            "tokens_per_second": sum(a.tokens for a in answers) / (time.perf_counter() - began),
            "first_token_seconds": _percentiles([a.first for a in answers]),
            "gap_seconds": _percentiles([gap for a in answers for gap in a.gaps]),
        }
    return found


async def _at(due: float, endpoint: Endpoint, body: dict[str, Any]) -> Answer:
    await asyncio.sleep(max(0.0, due - time.perf_counter()))
    return await ask(endpoint.port, body, due)


async def _long_prompt(endpoint: Endpoint, prompts: MakePrompts, repeats: int) -> dict[str, Any]:
    streams = prompts(STREAMS, 32, 1)
    (chunk,), (long,) = prompts(1, CHUNK_TOKENS, 2), prompts(1, LONG_TOKENS, 3)
    quiet, disturbed, chunks = [], [], []
    await _gaps(endpoint, streams, long, -1)  # warm
    for repeat in range(repeats):
        tell(f"long prompt: {repeat + 1}")
        alone = await ask(endpoint.port, endpoint.body(chunk, 1, f"chunk-{repeat}"))
        chunks.append(alone.ended)
        quiet.append(await _gaps(endpoint, streams, None, repeat))
        disturbed.append(await _gaps(endpoint, streams, long, repeat))
    growth = median(d - q for d, q in zip(disturbed, quiet, strict=True))
    return {
        "p99_gap_seconds_without": median(quiet),
        "p99_gap_seconds_with": median(disturbed),
        "chunk_seconds": median(chunks),
        "growth_in_chunks": growth / median(chunks),
    }


async def _gaps(
    endpoint: Endpoint, streams: Sequence[Prompt], long: Prompt | None, repeat: int
) -> float:
    """Return the p99 time between tokens of streams, with a long prompt in their midst or none."""
    salt = f"long-{repeat}-{long is not None}"
    asked = [
        asyncio.create_task(ask(endpoint.port, endpoint.body(prompt, 150, salt)))
        for prompt in streams
    ]
    if long is not None:
        await asyncio.sleep(0.2)
        await ask(endpoint.port, endpoint.body(long, 16, salt))
    answers = await asyncio.gather(*asked)
    return percentile([gap for answer in answers for gap in answer.gaps], 0.99)


async def _shared_prefix(endpoint: Endpoint, prompts: MakePrompts, repeats: int) -> dict[str, Any]:
    firsts: dict[str, float] = {}
    for share in (0.0, 0.5, 0.9):
        tell(f"shared prefix: {share:.0%}")
        same = int(SHARED_TOKENS * share)
        (head,) = prompts(1, SHARED_TOKENS, 4)
        seconds = []
        for number in range(repeats + 1):
            (own,) = prompts(1, SHARED_TOKENS, 100 + number)
            mixed = Prompt(text="", ids=(*head.ids[:same], *own.ids[same:]))
            answer = await ask(endpoint.port, endpoint.body(mixed, 2, f"shared-{share}"))
            seconds.append(answer.first)
        firsts[f"{share:g}"] = median(seconds[1:])  # the first one filled the cache
    return {
        "first_token_seconds_by_share": firsts,
        "ratio_at_most_shared": firsts["0.9"] / firsts["0"],
    }


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {f"p{share * 100:g}": percentile(values, share) for share in (0.5, 0.95, 0.99)}
