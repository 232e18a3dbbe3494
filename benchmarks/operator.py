"""
Time the operator on a real API server, in front of a played cloud that answers at once.

    python -m benchmarks.operator            (or: make bench-operator)

What is measured is the operator's own share of the wait: from the moment a Workspace is posted
until its NodeClaim, and until its Deployment, can be seen by another client. The cloud's share is a
few requests of the played Karpenter (`tests/world`); no pod runs. First single Workspaces one after
the other, then a hundred at once; then processor time, the operator's memory, and what it wrote.

Run it as a module: a script in this folder named operator.py would hide the standard library's.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from tests.cluster import ControlPlane, control_plane, karpenter_crds
from tests.cluster.ports import free_ports
from tests.world import Api, World, play

ROOT = Path(__file__).parents[1]
DEFINITION = ROOT / "charts" / "atelier" / "files" / "workspaces.kaito.sh.yaml"
NAMESPACE = "bench"
DEPLOYMENTS = "/apis/apps/v1/deployments"
PATIENCE_SECONDS = 120


class Stopwatch:
    """Note when each Workspace was posted, and when its objects could be seen."""

    def __init__(self) -> None:
        """Start with nothing noted."""
        self.posted: dict[str, float] = {}
        self.seen: dict[str, dict[str, float]] = {"NodeClaim": {}, "Deployment": {}}

    async def follow(self, api: Api, path: str, kind: str) -> None:
        """Note when the first object of each Workspace shows up, until cancelled."""
        async for _, thing in api.watch(path):
            name = thing["metadata"].get("labels", {}).get("kaito.sh/workspace")
            if name:
                self.seen[kind].setdefault(name, time.monotonic())

    def waits(self, kind: str, names: Iterable[str]) -> list[float]:
        """Return the seconds between post and sight, the shortest first."""
        return sorted(self.seen[kind][name] - self.posted[name] for name in names)

    async def complete(self, names: list[str]) -> None:
        """Wait until each Workspace has its Deployment."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.seen["Deployment"].keys() >= set(names):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no Deployment after {PATIENCE_SECONDS} s")
            await asyncio.sleep(0.01)


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


async def post(api: Api, stopwatch: Stopwatch, name: str) -> None:
    """Post one Workspace and start its time."""
    stopwatch.posted[name] = time.monotonic()
    path = f"/apis/kaito.sh/v1beta1/namespaces/{NAMESPACE}/workspaces"
    await api.create(path, workspace(name))


async def measure(world: World, singles: int, crowd: int) -> dict[str, Any]:
    """Time single Workspaces, then a crowd."""
    stopwatch = Stopwatch()
    followers = [
        asyncio.create_task(
            stopwatch.follow(world.api, "/apis/karpenter.sh/v1/nodeclaims", "NodeClaim")
        ),
        asyncio.create_task(stopwatch.follow(world.api, DEPLOYMENTS, "Deployment")),
    ]
    alone = [f"alone-{number}" for number in range(singles)]
    together = [f"crowd-{number}" for number in range(crowd)]
    for name in alone:
        await post(world.api, stopwatch, name)
        await stopwatch.complete([name])
        await asyncio.sleep(0.5)
    await asyncio.gather(*(post(world.api, stopwatch, name) for name in together))
    await stopwatch.complete(together)
    for follower in followers:
        follower.cancel()
    return {
        "one_workspace_seconds": {
            kind: {"median": _round(median(stopwatch.waits(kind, alone)))}
            for kind in stopwatch.seen
        },
        f"{crowd}_workspaces_at_once_seconds": {
            kind: {
                "median": _round(median(stopwatch.waits(kind, together))),
                "last": _round(stopwatch.waits(kind, together)[-1]),
            }
            for kind in stopwatch.seen
        },
    }


def start_operator(plane: ControlPlane, metrics_port: int) -> "subprocess.Popen[bytes]":
    """Start the operator with its defaults."""
    (health_port,) = free_ports(1)
    settings = {
        "KUBECONFIG": str(plane.kubeconfig),
        "ATELIER_HEALTH_PORT": str(health_port),
        "ATELIER_METRICS_PORT": str(metrics_port),
        "ATELIER_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "workspace_operator"]
    return subprocess.Popen(command, env=os.environ | settings)  # noqa: TID251 - handed on


async def run(plane: ControlPlane, singles: int, crowd: int) -> dict[str, Any]:
    """Measure on a running control plane."""
    (metrics_port,) = free_ports(1)
    operator = start_operator(plane, metrics_port)
    try:
        async with play(plane) as world:
            await _holds_lease(world.api)
            idle = _resident_mib(operator.pid)
            processes = {
                "operator": operator.pid,
                "kube-apiserver": plane.api_server.pid() or 0,
                "etcd": plane.etcd.pid() or 0,
                "benchmark": os.getpid(),
            }
            before = {name: _processor_seconds(pid) for name, pid in processes.items()}
            times = await measure(world, singles, crowd)
            used = {
                name: _round(_processor_seconds(pid) - before[name])
                for name, pid in processes.items()
            }
            await asyncio.sleep(5)
            writes = await _writes(world.api, metrics_port)
    finally:
        resident = _resident_mib(operator.pid)
        operator.terminate()
        operator.wait(20)
    total = singles + crowd
    return {
        **times,
        "resident_mib": {"idle": idle, f"with_{total}_workspaces": resident},
        "processor_seconds": used,
        "writes_per_workspace": {kind: _round(number / total) for kind, number in writes.items()},
        "machine": {"cpus": os.cpu_count(), "load": _round(os.getloadavg()[0])},
    }


async def _holds_lease(api: Api) -> None:
    path = "/apis/coordination.k8s.io/v1/namespaces/atelier-system/leases/atelier-operator"
    while not await api.get(path):  # noqa: ASYNC110 - it is written by another process
        await asyncio.sleep(0.1)
    await asyncio.sleep(3)


async def _writes(api: Api, port: int) -> dict[str, float]:
    """Read from the operator's own metrics what it has written, the Lease aside."""
    async with api.session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        page = await answer.text()
    found: dict[str, float] = {}
    for kind, value in re.findall(r'atelier_writes_total\{kind="(\w+)",verb="\w+"\} (\S+)', page):
        if kind != "Lease":
            found[kind] = found.get(kind, 0) + float(value)
    return found


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return _round(int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024)


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _round(number: float) -> float:
    return round(number, 3)


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--singles", type=int, default=10, help="Workspaces one after the other")
    parser.add_argument("--crowd", type=int, default=100, help="Workspaces at once")
    arguments = parser.parse_args()
    with control_plane("bench-operator") as plane:
        for definition in karpenter_crds():
            plane.apply(definition)
        plane.apply(DEFINITION)
        for namespace in ("atelier-system", NAMESPACE):
            plane.create_namespace(namespace)
        results = asyncio.run(run(plane, arguments.singles, arguments.crowd))
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
