"""
The operator as its chart runs it: a real process, the chart's ServiceAccount, the chart's settings.

Only what a container would bring is replaced: the namespace and the pod's name, and the ports.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import yaml

from tests.cluster import ControlPlane
from tests.cluster.ports import free_ports

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "atelier"
NAMESPACE = "atelier-system"
RELEASE = "atelier"


def install(plane: ControlPlane, *values: str) -> dict[str, str]:
    """
    Apply what the chart renders, and return the environment that it gives to the operator.

    The operator's own Deployment is left out: the process below stands for its pod.
    """
    manifests = _rendered(plane, *values)
    if plane.kubectl("get", "namespace", NAMESPACE, check=False).returncode:
        plane.create_namespace(NAMESPACE)
    plane.apply([each for each in manifests if each["kind"] != "Deployment"])
    return _environment(manifests)


def environment_of_chart(plane: ControlPlane, *values: str) -> dict[str, str]:
    """Return the environment that the chart gives to the operator, and apply nothing."""
    return _environment(_rendered(plane, *values))


def _rendered(plane: ControlPlane, *values: str) -> list[dict[str, Any]]:
    settings = [part for value in values for part in ("--set", value)]
    rendered = plane.helm("template", RELEASE, str(CHART), "-n", NAMESPACE, *settings).stdout
    return [each for each in yaml.safe_load_all(rendered) if each]


def _environment(manifests: list[dict[str, Any]]) -> dict[str, str]:
    deployment = next(each for each in manifests if each["kind"] == "Deployment")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


class Process(Protocol):
    """Be a running program: `subprocess.Popen`, or what stands for it."""

    returncode: int | None

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""

    def send_signal(self, number: int) -> None:
        """Send it a signal."""

    def kill(self) -> None:
        """End it at once."""


class Launch(Protocol):
    """Start an operator with an environment, its stderr appended to a file."""

    def __call__(self, environment: dict[str, str], log: Path) -> Process:
        """Start it."""


def cold_start(environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """Start the program as a container does."""
    with log.open("ab") as stderr:
        command = [sys.executable, "-m", "workspace_operator"]
        return subprocess.Popen(command, env=environment, stderr=stderr)  # noqa: S603 - ours


@dataclass(slots=True)
class Operator:
    """One life of the process after the other, each with its log."""

    kubeconfig: Path
    environment: dict[str, str]
    log: Path
    name: str = "operator-0"
    metrics_port: int = 0
    health_port: int = 0
    launch: Launch = cold_start
    _process: Process | None = field(default=None)

    def start(self) -> None:
        self.metrics_port, self.health_port = free_ports(2)
        environment = {
            "PATH": os.environ["PATH"],  # noqa: TID251 - handed on
            "HOME": "/nonexistent",
            **self.environment,
            "KUBECONFIG": str(self.kubeconfig),
            "ATELIER_NAMESPACE": NAMESPACE,
            "ATELIER_POD_NAME": self.name,
            "ATELIER_METRICS_PORT": str(self.metrics_port),
            "ATELIER_HEALTH_PORT": str(self.health_port),
        }
        self._process = self.launch(environment, self.log)

    @property
    def process(self) -> Process:
        assert self._process is not None
        return self._process

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """End it as the kubelet does, and return its exit code."""
        if self.runs:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def events(self) -> list[dict[str, Any]]:
        """Return what it has logged, over all its lives."""
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    async def metric(self, pattern: str) -> float:
        """Return the sum of all samples whose line matches."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            page = await answer.text()
        lines = re.findall(rf"^{pattern}.* (\S+)$", page, flags=re.MULTILINE)
        return sum(float(value) for value in lines)

    async def writes(self) -> float:
        """Return how often it has written, the Lease aside."""
        return await self.metric("atelier_writes_total") - await self.metric(
            'atelier_writes_total{kind="Lease"'
        )

    async def leads(self) -> None:
        """Wait until it holds the Lease and has read everything once."""
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            assert self.runs, self.log.read_text()[-2000:]
            try:
                if await self.metric("atelier_lease_held"):
                    return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
        message = f"no Lease after 40 s: {self.log.read_text()[-2000:]}"
        raise TimeoutError(message)
