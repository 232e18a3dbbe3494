"""
Start operators in a tenth of the time: a process that has imported everything forks itself.

Each operator is a process of its own, with its own memory, signals and end, and runs the program's
own `main`; what it is spared is the second and a half that Python takes to import. As its own
script this module is the process that forks; tests use `WarmStart`.

A line on stdin is a JSON request, a line on stdout its answer: start, or ask how a child ended.
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.world.clock import Clock

ROOT = Path(__file__).parents[2]
POLL_SECONDS = 0.02


class WarmProcess:
    """Be what `subprocess.Popen` is for a test: a process that can be signalled and awaited."""

    def __init__(self, warm: "WarmStart", pid: int) -> None:
        self._warm = warm
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._warm.ask({"ended": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = time.monotonic() + (timeout or float("inf"))
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("operator", timeout or 0)
            time.sleep(POLL_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class WarmStart:
    """Hold the process that forks, for the length of a `with`."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.world.forking"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(10)
        assert self._server.stdout is not None
        self._server.stdout.close()

    def ask(self, request: dict[str, Any]) -> int | None:
        """Send a request and return the answer's number."""
        assert self._server is not None
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer: int | None = json.loads(self._server.stdout.readline())
        return answer

    def __call__(
        self, environment: dict[str, str], log: Path, clock: Clock | None = None
    ) -> WarmProcess:
        """
        Start an operator.

        Args:
            environment: All of its environment.
            log: Where its stderr goes, appended.
            clock: By which it runs; ours if none is given.
        """
        told = asdict(clock or Clock())
        pid = self.ask({"start": environment, "log": str(log), "clock": told})
        assert pid is not None
        return WarmProcess(self, pid)
