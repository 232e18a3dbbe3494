"""
Time the operator on a real API server, in front of a played cloud that answers at once.

    python -m benchmarks.operator            (or: make bench-operator)

What is measured is the operator's own share of the wait: from the moment a Workspace is posted
until its NodeClaim, its Deployment and its status can be seen by another client. The cloud's share
is three requests (`benchmarks/cloud.py`); no pod runs. And from what a claim says until the status
says it (`benchmarks/told.py`). Each part has a control plane of its own.
Progress goes to stderr, one JSON object to stdout, goals beside what was measured in it.

Run it as a module: a script in this folder named operator.py would hide the standard library's.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.crowd import Bench, alone, bench, crowd, cycles, dumped, steady
from benchmarks.freezes import freezes
from benchmarks.gates import judged
from benchmarks.measured import MeasuredOperator, holds_lease, measured_operator, memory_mib
from benchmarks.told import told
from tests.cluster import ControlPlane, control_plane, karpenter_crds

ROOT = Path(__file__).parents[1]
DEFINITION = ROOT / "charts" / "atelier" / "files" / "workspaces.kaito.sh.yaml"
Results = dict[str, Any]
IDLE_SECONDS = 15.0
STEADY_PER_SECOND = 10


@contextmanager
def plane_for(part: str) -> Iterator[ControlPlane]:
    """Run a control plane that knows Workspaces and NodeClaims."""
    print(f"{part} ...", file=sys.stderr, flush=True)
    with control_plane("bench-operator") as plane:
        for definition in karpenter_crds():
            plane.apply(definition)
        plane.apply(DEFINITION)
        for namespace in ("atelier-system", "bench"):
            plane.create_namespace(namespace)
        yield plane


def measure(part: str, work: Callable[[Bench], Awaitable[Results]]) -> Results:
    """Do one part of the benchmark with everything fresh."""

    async def main(plane: ControlPlane, operator: MeasuredOperator) -> Results:
        async with bench(plane, operator) as found:
            await holds_lease(found.watching)
            return await work(found)

    with plane_for(part) as plane, measured_operator(plane) as operator:
        return asyncio.run(main(plane, operator))


async def few(found: Bench, singles: int, together: int, seconds: float) -> Results:
    """Measure single Workspaces, a crowd, and a steady stream."""
    idle = memory_mib(found.operator.pid)["now"]
    results: Results = {"idle_mib": idle, "one": await alone(found, singles)}
    results[str(together)] = await crowd(found, together)
    if seconds:
        results["steady"] = await steady(found, STEADY_PER_SECOND, seconds)
    return results


async def many(found: Bench, number: int, *, restart: bool) -> Results:
    """Measure a large crowd, and a restart when everything is as it should be."""
    results: Results = {str(number): await crowd(found, number)}
    if restart:
        results["restart"] = {"workspaces": number, **await start_again(found)}
    return results


async def start_again(found: Bench) -> Results:
    """Restart the operator with nothing to do, and count what it does."""
    stopping = found.operator.stop()
    found.operator.start()
    first = await found.operator.first_pass_seconds()
    await asyncio.sleep(IDLE_SECONDS)
    return {
        "stop_seconds": round(stopping, 3),
        "first_pass_seconds": round(first, 3),
        "writes": sum((await found.operator.writes()).values()),
        "operator_mib": memory_mib(found.operator.pid),
    }


def main() -> int:
    """Print one JSON object; fail where a goal is missed and that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    add = parser.add_argument
    add("--singles", type=int, default=10, help="Workspaces one after the other")
    add("--crowd", type=int, default=100, help="Workspaces at once")
    add("--told", type=int, default=10, help="Workspaces whose claims' six texts are timed")
    add("--steady-seconds", type=float, default=0, help=f"{STEADY_PER_SECOND} a second, so long")
    add("--sizes", type=int, nargs="*", default=(), help="larger crowds, such as 1000 5000")
    add("--restart", action="store_true", help="restart after each larger crowd")
    add("--cycles", type=int, default=0, help="Workspaces that come and go, for the memory")
    add("--freezes", type=int, default=0, help="times that the one of two replicas is frozen")
    add("--strict", action="store_true", help="exit 1 where a goal is missed")
    asked = parser.parse_args()
    results: Results = {}
    if asked.crowd:
        part = f"{asked.singles} single Workspaces, {asked.crowd} at once"
        work = partial(
            few, singles=asked.singles, together=asked.crowd, seconds=asked.steady_seconds
        )
        results |= measure(part, work)
    if asked.told:
        part = f"what is said of {asked.told} claims"
        results["told"] = measure(part, partial(told, number=asked.told))
    for number in asked.sizes:
        results |= measure(f"{number} at once", partial(many, number=number, restart=asked.restart))
    if asked.cycles:
        results |= {
            "cycles": measure(
                f"{asked.cycles} cycles", lambda found: cycles(found, asked.cycles, 50)
            )
        }
    if asked.freezes:
        with plane_for(f"{asked.freezes} freezes") as plane:
            results["freezes"] = asyncio.run(freezes(plane, asked.freezes))
    results["machine"] = {"cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}
    results["gates"] = judged(results)
    print(dumped(results))
    missed = any(not gate["met"] for gate in results["gates"])
    return 1 if asked.strict and missed else 0


if __name__ == "__main__":
    sys.exit(main())
