"""The operator as a process, and what its own metrics, the API server's and /proc say of a run."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.cluster import ControlPlane
from tests.cluster.ports import free_ports
from tests.world import Api

STOP_SECONDS = 20
SAMPLE = re.compile(r"^(\w+)\{(.*?)\} (\S+)$", re.MULTILINE)


@dataclass(slots=True)
class MeasuredOperator:
    """One life of the operator, with the settings of its chart."""

    kubeconfig: Path
    name: str = "bench"
    metrics_port: int = 0
    started: float = 0.0
    _process: "subprocess.Popen[bytes] | None" = field(default=None)

    def start(self) -> None:
        """Start it."""
        self.metrics_port, health_port = free_ports(2)
        settings = {
            "KUBECONFIG": str(self.kubeconfig),
            "ATELIER_POD_NAME": self.name,
            "ATELIER_HEALTH_PORT": str(health_port),
            "ATELIER_METRICS_PORT": str(self.metrics_port),
            "ATELIER_LOG_LEVEL": "error",
        }
        command = [sys.executable, "-m", "workspace_operator"]
        self.started = time.monotonic()
        self._process = subprocess.Popen(command, env=os.environ | settings)  # noqa: TID251

    @property
    def pid(self) -> int:
        """Return the process's number."""
        return self._process.pid if self._process is not None else 0

    @property
    def runs(self) -> bool:
        """Tell whether it lives."""
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    def stop(self) -> float:
        """End it as the kubelet does, and return the seconds that it took."""
        if self._process is None or not self.runs:
            return 0.0
        began = time.monotonic()
        self.send(signal.SIGCONT)
        self._process.terminate()
        self._process.wait(STOP_SECONDS)
        return time.monotonic() - began

    async def metrics(self) -> Counter[tuple[str, str]]:
        """Return its samples by name and labels; none while it does not listen yet."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                page = await answer.text()
        except aiohttp.ClientError:
            return Counter()
        return Counter({(name, labels): float(v) for name, labels, v in SAMPLE.findall(page)})

    async def writes(self) -> dict[str, float]:
        """Return how often it has written each kind, the Lease aside."""
        found: Counter[str] = Counter()
        for (name, labels), value in (await self.metrics()).items():
            kind = re.search(r'kind="(\w+)"', labels)
            if name == "atelier_writes_total" and kind and kind.group(1) != "Lease":
                found[kind.group(1)] += int(value)
        return dict(found)

    async def first_pass_seconds(self) -> float:
        """Wait for the first pass over a Workspace, and return how long after the start it was."""
        while not any(name == "atelier_passes_total" for name, _ in await self.metrics()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return time.monotonic() - self.started


@contextmanager
def measured_operator(plane: ControlPlane) -> Iterator[MeasuredOperator]:
    """Run an operator for the length of a `with`."""
    operator = MeasuredOperator(kubeconfig=plane.kubeconfig)
    operator.start()
    try:
        yield operator
    finally:
        operator.stop()


async def holds_lease(api: Api) -> None:
    """Wait until somebody leads, and until the first sweep and watches are through."""
    path = "/apis/coordination.k8s.io/v1/namespaces/atelier-system/leases/atelier-operator"
    while not await api.get(path):  # noqa: ASYNC110 - it is written by another process
        await asyncio.sleep(0.1)
    await asyncio.sleep(3)


async def requests(api: Api) -> Counter[str]:
    """Return how many requests the API server has answered, by verb and resource."""
    async with api.session.get("/metrics") as answer:
        page = await answer.text()
    found: Counter[str] = Counter()
    for name, labels, value in SAMPLE.findall(page):
        if name == "apiserver_request_total":
            label = dict(re.findall(r'(\w+)="(.*?)"', labels))
            what = "/".join(filter(None, (label["resource"], label["subresource"])))
            found[f"{label['verb']} {what}"] += int(float(value))
    return found


def processor_seconds(plane: ControlPlane, operator: MeasuredOperator) -> dict[str, float]:
    """Return the processor time that each process of the benchmark has used so far."""
    processes = {
        "operator": operator.pid,
        "kube-apiserver": plane.api_server.pid() or 0,
        "etcd": plane.etcd.pid() or 0,
        "benchmark": os.getpid(),
    }
    return {name: _seconds(pid) for name, pid in processes.items()}


def memory_mib(pid: int) -> dict[str, float]:
    """Return the resident memory of a process, now and at its most."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = {
        name: int(re.findall(rf"{key}:\s+(\d+) kB", status)[0]) / 1024
        for name, key in (("now", "VmRSS"), ("most", "VmHWM"))
    }
    return {name: round(value, 1) for name, value in found.items()}


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
