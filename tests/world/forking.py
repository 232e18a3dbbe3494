"""
Be the process that has imported the operator, and fork one whenever a line on stdin asks for it.

A line on stdin is a JSON request, a line on stdout its answer: start one and tell its pid, or tell
how one ended (null while it runs). When stdin ends, so does everything.
"""

import json
import os
import random
import signal
import sys
from typing import Any

from tests.world.clock import Clock
from tests.world.other_clock import main, run_by_another_clock

INTERNAL_ERROR = 70


def start(request: dict[str, Any]) -> int:
    """Fork an operator and return its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = INTERNAL_ERROR
    try:
        log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(log, 2)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(2, 1)
        random.seed()
        os.environ.clear()  # noqa: TID251 - the operator's own environment, and nothing else
        os.environ.update(request["start"])  # noqa: TID251 - the same
        clock = Clock(**request["clock"])
        code = main([]) if clock.is_ours else run_by_another_clock(clock)
    finally:
        sys.stderr.flush()
        os._exit(code)


def ended(pid: int) -> int | None:
    """Return the exit code of a child, or None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def serve() -> None:
    """Answer until stdin ends, then end what is left."""
    living: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        answer = start(request) if "start" in request else ended(request["ended"])
        if "start" in request:
            living.add(int(answer or 0))
        elif answer is not None:
            living.discard(request["ended"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for pid in living:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    serve()
