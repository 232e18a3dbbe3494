"""
Freeze the one of two replicas that holds the Lease, again and again, and check every write.

Both replicas speak to the API server through proxies, one each, so it is known who sent what. Who
holds the Lease is what the API server accepted last; a write that arrives after somebody else's
name was accepted is an intruder's, whatever becomes of it. Every fourth freeze is long enough for
the other replica to take over; the others are short, and end before, around or after the holder's
own deadline. A stream of Workspaces comes and goes meanwhile: there is always something to write.
"""

import asyncio
import random
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.cloud import QuickCloud
from benchmarks.crowd import ACTING_CONNECTIONS, WORKSPACES, workspace
from benchmarks.measured import MeasuredOperator
from tests.cluster import ControlPlane
from tests.world import Api
from tests.world.fault_proxy import Exchange, FaultProxy, fault_proxy

SHORT_SECONDS = (0.05, 12.0)
LONG_SECONDS = (15.5, 24.0)
LONG_EVERY = 4
STREAM_SECONDS = 0.7
ALIVE = 8
SETTLE_SECONDS = 2.0
FIRST_FAILURE = 400
# An answer that is not there by then never comes: its operator died over the question.
ANSWER_SECONDS = 35.0


@dataclass(slots=True)
class Replica:
    """One operator behind its own proxy, started again whenever it ends."""

    operator: MeasuredOperator
    proxy: FaultProxy
    read: int = 0

    @property
    def name(self) -> str:
        """Return what its Lease begins with."""
        return self.operator.name

    async def keep_alive(self) -> None:
        """Be the kubelet: an operator that lost the Lease ends, and is started again."""
        while True:
            if not self.operator.runs:
                self.operator.start()
            await asyncio.sleep(0.2)

    def asks_for_the_lease_since(self) -> float:
        """Return when it asked for the Lease, if the answer is still out; else infinity."""
        oldest = time.monotonic() - ANSWER_SECONDS
        return next(
            (
                each.at
                for each in self.proxy.log[self.read :]
                if each.status == 0 and each.at > oldest and _asks_for_the_lease(each)
            ),
            float("inf"),
        )

    def new_exchanges(self, before: float) -> Iterator[Exchange]:
        """Return what came since the last call and before a moment."""
        log = self.proxy.log
        while self.read < len(log) and log[self.read].at < before:
            yield log[self.read]
            self.read += 1


@dataclass(slots=True)
class Watchman:
    """Know who holds the Lease, and count who writes without it."""

    replicas: list[Replica]
    holder: str = ""
    since: float = 0.0
    writes: int = 0
    take_overs: int = 0
    intruders: list[str] = field(default_factory=list)

    def look(self, *, before: float) -> None:
        """
        Judge everything that arrived before a moment, in the order of arrival.

        Who holds the Lease is unknown while the API server takes its time over a claim to it.
        """
        before = min(before, *(each.asks_for_the_lease_since() for each in self.replicas))
        arrived = sorted(
            (
                (each.at, replica.name, each)
                for replica in self.replicas
                for each in replica.new_exchanges(before)
            ),
            key=lambda one: one[0],
        )
        for at, name, exchange in arrived:
            if exchange.asked.is_write:
                self.writes += 1
                if name != self.holder:
                    self.intruders.append(
                        f"{name} while {self.holder or 'nobody'}: {exchange.asked}"
                    )
            elif _asks_for_the_lease(exchange) and 0 < exchange.status < FIRST_FAILURE:
                self._lease(at, str(exchange.asked.body["spec"].get("holderIdentity") or ""))

    def _lease(self, at: float, identity: str) -> None:
        name = identity.partition("_")[0]
        if name != self.holder:
            self.take_overs += 1
            self.holder, self.since = name, at


def _asks_for_the_lease(exchange: Exchange) -> bool:
    """Tell a claim to the Lease; all that is no write of a reconcile and no read is one."""
    return exchange.asked.verb in {"POST", "PUT"} and not exchange.asked.is_write


async def freezes(plane: ControlPlane, number: int) -> dict[str, Any]:
    """Freeze the holder so many times."""
    async with _replicas(plane) as replicas, Api(plane, connections=ACTING_CONNECTIONS) as api:
        watchman = Watchman(replicas)
        tasks = [
            asyncio.create_task(each)
            for each in (
                QuickCloud(api).run(),
                _stream(api),
                *(replica.keep_alive() for replica in replicas),
            )
        ]
        try:
            return await _freeze(watchman, number)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def _freeze(watchman: Watchman, number: int) -> dict[str, Any]:
    waits: list[float] = []
    for freeze in range(number):
        holder = await _holder(watchman)
        await asyncio.sleep(random.uniform(0, SETTLE_SECONDS))  # noqa: S311 - no secret
        long = freeze % LONG_EVERY == LONG_EVERY - 1
        began, pid = time.monotonic(), holder.operator.pid
        holder.operator.send(signal.SIGSTOP)
        await asyncio.sleep(random.uniform(*(LONG_SECONDS if long else SHORT_SECONDS)))  # noqa: S311
        if holder.operator.runs and holder.operator.pid == pid:
            holder.operator.send(signal.SIGCONT)
        await _holder(watchman)
        if watchman.since > began:
            waits.append(watchman.since - began)
    return {
        "freezes": number,
        "take_overs": len(waits),
        "longest_take_over_seconds": round(max(waits, default=0.0), 2),
        "writes": watchman.writes,
        "writes_by_others": len(watchman.intruders),
        "intruders": watchman.intruders[:10],
    }


async def _holder(watchman: Watchman) -> Replica:
    """Wait until somebody leads whose process runs."""
    while True:
        await asyncio.sleep(SETTLE_SECONDS)
        watchman.look(before=time.monotonic() - SETTLE_SECONDS / 2)
        for replica in watchman.replicas:
            if replica.name == watchman.holder and replica.operator.runs:
                return replica


async def _stream(api: Api) -> None:
    """Let Workspaces come and go."""
    for number in count():
        await api.create(WORKSPACES, workspace(f"stream-{number}"))
        await asyncio.sleep(STREAM_SECONDS)
        if number >= ALIVE:
            await api.delete(f"{WORKSPACES}/stream-{number - ALIVE}")


@asynccontextmanager
async def _replicas(plane: ControlPlane) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        replicas = []
        for name in ("first", "second"):
            proxy = await stack.enter_async_context(fault_proxy(plane))
            kubeconfig = proxy.kubeconfig(plane.kubeconfig, folder / name)
            replicas.append(Replica(MeasuredOperator(kubeconfig=kubeconfig, name=name), proxy))
        try:
            yield replicas
        finally:
            for replica in replicas:
                replica.operator.stop()
