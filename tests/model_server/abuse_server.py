"""
Treat a real server of tiny-mistral badly for minutes, and look at what that did to it.

    python -m tests.model_server.abuse_server --seconds 600          (or: make abuse)

Two thirds of the time go to mutated requests, slow sockets and leavers at once, a third to requests
made from the server's own description. Prints one JSON object last; fails on any status of 500 or
more but 503, a traceback, growth above 20 MB after the first tenth, or another exit code than 0.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from model_presets.tiny import make_tiny

from tests.model_server.abuse import Tally, abuse

MOST_GROWTH_BYTES = 20_000_000
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


async def abuse_for(port: int, seconds: float, seed: int) -> Tally:
    end = time.monotonic() + seconds
    return await abuse(port, until=lambda: time.monotonic() > end, seed=seed)


def ready_port(log: Path, process: subprocess.Popen[bytes]) -> int:
    while process.poll() is None:
        text = log.read_text(encoding="utf-8")
        listening = re.search(r'"event": "listening".*"port": (\d+)', text)
        if listening and '"event": "ready"' in text:
            return int(listening[1])
        time.sleep(0.2)
    raise SystemExit(log.read_text(encoding="utf-8"))


def describe_and_ask(port: int, seconds: float, folder: Path) -> int:
    url = f"http://127.0.0.1:{port}/openapi.json"
    line = [sys.executable, "-m", "schemathesis.cli", "run", url, "--phases", "fuzzing"]
    line += ["--checks", "not_a_server_error", "--max-time", f"{seconds:.0f}", "--no-color"]
    line += ["--max-examples", "100000", "--request-timeout", "60"]
    # In a folder of its own: it leaves a cache where it runs.
    return subprocess.run(line, check=False, cwd=folder).returncode  # noqa: S603 - a fixed line


def main() -> int:
    parser = argparse.ArgumentParser(description="Treat a server of tiny-mistral badly.")
    parser.add_argument("--seconds", type=float, default=600)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        weights, log = Path(folder) / "weights", Path(folder) / "log"
        weights.mkdir()
        make_tiny(weights, steps=0)
        line = [sys.executable, "-m", "model_server", "--model", str(weights)]
        line += ["--preset", "tiny-mistral", "--host", "127.0.0.1", "--port", "0"]
        line += ["--max-model-len", "256"]  # who names no max_tokens gets all of it
        with log.open("wb") as stream:
            process = subprocess.Popen(line, stderr=stream)  # noqa: S603 - our own module
        try:
            port = ready_port(log, process)
            first = asyncio.run(abuse_for(port, seconds / 10, seed=1))
            before = resident_bytes(process.pid)
            second = asyncio.run(abuse_for(port, seconds * 0.57, seed=2))
            described = describe_and_ask(port, seconds / 3, Path(folder))
            growth = resident_bytes(process.pid) - before
            process.send_signal(signal.SIGTERM)
            exit_code = process.wait(timeout=60)
        finally:
            process.kill()
        traces = log.read_text(encoding="utf-8").count('"traceback"')
    faults = first.faults + second.faults
    result = {
        "requests": first.done + second.done,
        "statuses": dict(sorted((first.statuses + second.statuses).items())),
        "server_errors": faults[:5],
        "schemathesis_exit": described,
        "growth_bytes": growth,
        "tracebacks": traces,
        "exit_code": exit_code,
    }
    sys.stdout.write(json.dumps(result) + "\n")
    held = not faults and not traces and described == 0 and exit_code == 0
    return 0 if held and growth < MOST_GROWTH_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
