"""
Time what a cloud says of a machine on its way to the user: from the claim to the status.

Each Workspace's claim goes through what Karpenter can say of one: the launch fails, the node has
not registered, is not ready, lacks its resource, the claim is being deleted, and is gone with an
Event that has the reason. Every text is another, and is written as soon as the one before stands in
the status: the worst moment, since a status is written at most twice a second for each Workspace.

One clock: a text's time starts when its write is handed to the client, and ends when a watch shows
it in a condition of the Workspace. So the API server's share of both writes is in it.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.cloud import QuickCloud
from benchmarks.crowd import PATIENCE_SECONDS, WORKSPACES, Bench
from tests.world import Api
from tests.world.cloud import NO_CAPACITY, condition

GIVEN_UP = "is given up"
Say = Callable[[str], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Reader:
    """Read every Workspace's conditions as a user who watches them does."""

    api: Api
    read: dict[str, tuple[float, str]] = field(default_factory=dict)
    _news: dict[str, asyncio.Event] = field(default_factory=dict)

    async def run(self) -> None:
        """Read until cancelled."""
        async for _, found in self.api.watch(WORKSPACES):
            name = found["metadata"]["name"]
            conditions = found.get("status", {}).get("conditions", ())
            messages = "\n".join(each.get("message", "") for each in conditions)
            self.read[name] = (time.monotonic(), messages)
            self._news.setdefault(name, asyncio.Event()).set()

    async def finds(self, name: str, text: str) -> float:
        """Wait until a condition of a Workspace holds a text; return when it was seen."""
        news = self._news.setdefault(name, asyncio.Event())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                at, messages = self.read.get(name, (0.0, ""))
                if text in messages:
                    return at
                news.clear()
                await news.wait()


def sayings(cloud: QuickCloud, claim: str) -> dict[str, tuple[str, Say]]:
    """Return by its name what is said of a claim, in order: the text to look for, and the write."""
    launched = condition("Launched", "True", "Launched")
    registered = condition("Registered", "True", "Registered")

    def with_text(*done: dict[str, Any], step: str, reason: str) -> Say:
        async def say(text: str) -> None:
            await cloud.say(claim, *done, condition(step, "Unknown", reason, text))

        return say

    async def give_up(_text: str) -> None:
        await cloud.give_up(claim)

    async def end(text: str) -> None:
        await cloud.speak_of(claim, NO_CAPACITY, text)
        await cloud.let_go(claim)

    not_there = with_text(launched, step="Registered", reason="NodeNotFound")
    not_ready = with_text(launched, registered, step="Initialized", reason="NodeNotReady")
    no_resource = with_text(
        launched, registered, step="Initialized", reason="ResourceNotRegistered"
    )
    return {
        "launch fails": (
            f"no such type for {claim}",
            with_text(step="Launched", reason="LaunchFailed"),
        ),
        "not registered": (f"{claim} has no node", not_there),
        "not ready": (f"the kubelet of {claim} is silent", not_ready),
        "no resource": (f"{claim} shows no GPU", no_resource),
        "given up": (GIVEN_UP, give_up),
        "gone": (f"there is none left for {claim}", end),
    }


async def told(bench: Bench, number: int) -> dict[str, Any]:
    """Time every text about the claims of some Workspaces that come at once."""
    names = [f"told-{each}" for each in range(number)]
    reader = Reader(bench.watching)
    reading = asyncio.create_task(reader.run())
    bench.cloud.silent = True
    try:
        await asyncio.gather(*map(bench.post, names))
        await bench.complete(names, "NodeClaim")
        found = await asyncio.gather(*(_story(bench, reader, name) for name in names))
    finally:
        bench.cloud.silent = False
        reading.cancel()
        await asyncio.wait([reading])
    by_text = {what: sorted(each[what] for each in found) for what in found[0]}
    waits = sorted(wait for each in by_text.values() for wait in each)
    return {
        "texts": len(waits),
        "seconds": {"median": round(median(waits), 3), "worst": round(waits[-1], 3)},
        "worst_seconds_by_text": {what: round(each[-1], 3) for what, each in by_text.items()},
    }


async def _story(bench: Bench, reader: Reader, name: str) -> dict[str, float]:
    """Let one claim go through all of it, and return how long each text took."""
    claim = await bench.cloud.first_claim_of(name)
    waits = {}
    for what, (text, say) in sayings(bench.cloud, claim).items():
        began = time.monotonic()
        await say(text)
        waits[what] = await reader.finds(name, text) - began
    return waits
