"""
Let Workspaces come, one after the other, all at once or so many a second, and time each of them.

A Workspace's time starts when it is handed to the client that posts it and ends when another client
sees the object. The harness posts and watches from one process over few connections; its own
processor time is in the report beside that of the others.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

from benchmarks.cloud import QuickCloud
from benchmarks.measured import MeasuredOperator, memory_mib, processor_seconds, requests
from tests.cluster import ControlPlane
from tests.world import Api
from tests.world.api import CLAIMS

NAMESPACE = "bench"
WORKSPACES = f"/apis/kaito.sh/v1beta1/namespaces/{NAMESPACE}/workspaces"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
PATIENCE_SECONDS = 600
QUIET_SECONDS = 4.0
ACTING_CONNECTIONS = 10
RARE = 0.1
Seconds = dict[str, float]


@dataclass(slots=True)
class Bench:
    """One control plane, one operator, one cloud, and the times of every Workspace."""

    plane: ControlPlane
    operator: MeasuredOperator
    acting: Api
    watching: Api
    cloud: QuickCloud
    posted: dict[str, float] = field(default_factory=dict)
    seen: dict[str, Seconds] = field(
        default_factory=lambda: {"NodeClaim": {}, "Deployment": {}, "status": {}}
    )

    async def follow(self, path: str, kind: str) -> None:
        """Note when the first object of each Workspace shows up, until cancelled."""
        async for _, thing in self.watching.watch(path):
            metadata = thing["metadata"]
            name = metadata.get("labels", {}).get("kaito.sh/workspace")
            if kind == "status" and len(thing.get("status", {}).get("workerNodes", ())):
                name = metadata["name"]
            if name:
                self.seen[kind].setdefault(name, time.monotonic())

    async def post(self, name: str) -> None:
        """Post one Workspace and start its time."""
        self.posted[name] = time.monotonic()
        await self.acting.create(WORKSPACES, workspace(name))

    async def delete(self, name: str) -> None:
        """Ask for a Workspace's deletion."""
        await self.acting.delete(f"{WORKSPACES}/{name}")

    def waits(self, kind: str, names: Iterable[str]) -> list[float]:
        """Return the seconds between post and sight, the shortest first."""
        return sorted(self.seen[kind][name] - self.posted[name] for name in names)

    async def complete(self, names: Iterable[str], kind: str = "Deployment") -> None:
        """Wait until each Workspace has an object of a kind."""
        wanted = set(names)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.seen[kind].keys() >= wanted:  # noqa: ASYNC110 - seen by a watch
                await asyncio.sleep(0.01)

    async def quiet(self) -> None:
        """Wait until the operator has written nothing for some seconds."""
        before: dict[str, float] = {}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (now := await self.operator.writes()) != before:
                before = now
                await asyncio.sleep(QUIET_SECONDS)


@asynccontextmanager
async def bench(plane: ControlPlane, operator: MeasuredOperator) -> AsyncIterator[Bench]:
    """Play the cloud and follow what comes into being for the length of a `with`."""
    async with Api(plane, connections=ACTING_CONNECTIONS) as acting, Api(plane) as watching:
        cloud = QuickCloud(acting)
        found = Bench(plane, operator, acting, watching, cloud)
        followers = [
            asyncio.create_task(each)
            for each in (
                cloud.run(),
                found.follow(CLAIMS, "NodeClaim"),
                found.follow(DEPLOYMENTS, "Deployment"),
                found.follow(WORKSPACES, "status"),
            )
        ]
        try:
            yield found
        finally:
            for follower in followers:
                follower.cancel()
            await asyncio.wait(followers)


async def alone(bench: Bench, number: int) -> dict[str, Any]:
    """Time Workspaces that come one after the other."""
    names = [f"alone-{each}" for each in range(number)]
    for name in names:
        await bench.post(name)
        await bench.complete([name])
        await asyncio.sleep(0.8)
    return {kind: _spread(bench.waits(kind, names)) for kind in ("NodeClaim", "Deployment")}


async def crowd(bench: Bench, number: int) -> dict[str, Any]:
    """Time Workspaces that come all at once, and say what that cost whom."""
    names = [f"crowd{number}-{each}" for each in range(number)]
    used, asked, wrote = await _costs(bench)
    began = time.monotonic()
    await asyncio.gather(*map(bench.post, names))
    posting = time.monotonic() - began
    await bench.complete(names)
    used_then, asked_then, _ = await _costs(bench)
    mib_then = memory_mib(bench.operator.pid)["now"]
    await bench.complete(names, "status")
    await bench.quiet()
    used_now, asked_now, wrote_now = await _costs(bench)
    return {
        "seconds": {kind: _spread(bench.waits(kind, names)) for kind in bench.seen},
        "posting_seconds": _round(posting),
        "processor_seconds_until_deployments": _less(used_then, used),
        "processor_seconds_until_quiet": _less(used_now, used),
        "operator_mib": {"at_deployments": mib_then, **memory_mib(bench.operator.pid)},
        "writes_per_workspace": _per(number, Counter(wrote_now), Counter(wrote)),
        "requests_per_workspace_until_deployments": _per(number, asked_then, asked),
        "requests_per_workspace": _per(number, asked_now, asked),
    }


async def steady(bench: Bench, per_second: float, seconds: float) -> dict[str, Any]:
    """Time Workspaces that come at an even pace."""
    names = [f"steady-{each}" for each in range(round(per_second * seconds))]
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(bench.post(name))
            await asyncio.sleep(1 / per_second)
    await bench.complete(names)
    waits = bench.waits("Deployment", names)
    cuts = quantiles(waits, n=100)
    return {"per_second": per_second, "p50": _round(cuts[49]), "p99": _round(cuts[98])}


async def cycles(bench: Bench, number: int, at_once: int) -> dict[str, Any]:
    """Let many Workspaces come and go, some at a time, and watch the memory grow."""
    sizes = []
    for first in range(0, number, at_once):
        names = [f"cycle-{each}" for each in range(first, min(number, first + at_once))]
        await asyncio.gather(*map(bench.post, names))
        await bench.complete(names)
        await asyncio.gather(*map(bench.delete, names))
        while await bench.acting.items(f"{WORKSPACES}?limit=1"):  # noqa: ASYNC110 - remote
            await asyncio.sleep(0.1)
        for each in bench.seen.values():
            for name in names:
                each.pop(name, None)
        sizes.append(memory_mib(bench.operator.pid)["now"])
    warm = sizes[max(0, len(sizes) // 10)]
    return {"cycles": number, "mib": {"warm": warm, "end": sizes[-1], "growth": sizes[-1] - warm}}


def workspace(name: str) -> dict[str, Any]:
    """Return the manifest that a user would apply."""
    return {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "resource": {
            "instanceType": "Standard_NC24ads_A100_v4",
            "labelSelector": {"matchLabels": {"apps": name}},
        },
        "inference": {"preset": {"name": "mistral-7b-instruct"}},
    }


async def _costs(bench: Bench) -> tuple[Seconds, Counter[str], dict[str, float]]:
    used = processor_seconds(bench.plane, bench.operator)
    return used, await requests(bench.watching), await bench.operator.writes()


def _per(number: int, now: Counter[str], before: Counter[str]) -> Seconds:
    """Return what has been counted per Workspace, without what is rarer than one in ten."""
    counted = {what: _round((now[what] - before[what]) / number) for what in now}
    kept = {what: value for what, value in counted.items() if value >= RARE}
    ordered = dict(sorted(kept.items(), key=lambda each: -each[1]))
    return {**ordered, "all": _round(sum(counted.values()))}


def _spread(waits: list[float]) -> Seconds:
    return {"median": _round(median(waits)), "last": _round(waits[-1])}


def _less(seconds: Seconds, before: Seconds) -> Seconds:
    return {name: _round(value - before[name]) for name, value in seconds.items()}


def _round(number: float) -> float:
    return round(number, 3)


def dumped(results: dict[str, Any]) -> str:
    """Return the results as people and programs read them."""
    return json.dumps(results, indent=2)
