"""
Start each engine as a process of its own and give it the same work.

Two kinds: a worker that gets token ids over a pipe, and a server that is asked over HTTP. Between
its turns every engine is stopped (SIGSTOP), so that none costs another anything, however it waits.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from benchmarks.serving.client import Answer, BadAnswer, ask
from benchmarks.serving.workloads import Prompt

START_SECONDS = 180
TICKS = os.sysconf("SC_CLK_TCK")


class EngineFailed(Exception):
    """Report an engine that did not start or did not answer, with its last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Hold one measurement of one engine."""

    seconds: float
    cpu_seconds: float
    tokens: int
    answers: tuple[tuple[int, ...], ...] = ()  # token ids, where the engine gives them
    firsts: tuple[float, ...] = ()  # seconds to the first token, over HTTP
    gaps: tuple[float, ...] = ()  # seconds between tokens, over HTTP


class Engine(Protocol):
    """Continue prompts and say how long it took."""

    name: str

    def measure(self, prompts: Sequence[Prompt], new_tokens: int) -> Sample:
        """Do the work once."""

    def close(self) -> None:
        """End the process."""


class Worker:
    """An engine in process: token ids in, token ids out."""

    def __init__(
        self, name: str, folder: Path, python: str, *, streams: int, threads: int, log: Path
    ) -> None:
        """
        Start it and wait until its model is loaded.

        Raises:
            EngineFailed: If it ends before.
        """
        self.name = name
        self._log = log
        line = [python, "-m", "benchmarks.serving.worker", name, str(folder), str(streams)]
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [*line, str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment(threads),
            )
        self._read()
        self._process.send_signal(signal.SIGSTOP)

    def measure(self, prompts: Sequence[Prompt], new_tokens: int) -> Sample:
        """Send one line, read one line."""
        self._process.send_signal(signal.SIGCONT)
        work = {"prompts": [prompt.ids for prompt in prompts], "new_tokens": new_tokens}
        pipe: IO[bytes] | None = self._process.stdin
        if pipe is None:
            raise EngineFailed(f"{self.name} has no standard input")
        pipe.write(json.dumps(work).encode() + b"\n")
        pipe.flush()
        result = self._read()
        self._process.send_signal(signal.SIGSTOP)
        answers = tuple(tuple(answer) for answer in result["answers"])
        wanted = new_tokens * len(prompts)
        tokens = sum(map(len, answers))
        if tokens != wanted:
            raise EngineFailed(f"{self.name} gave {tokens} tokens instead of {wanted}")
        return Sample(
            seconds=result["seconds"],
            cpu_seconds=result["cpu_seconds"],
            tokens=tokens,
            answers=answers,
        )

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            raise EngineFailed(f"{self.name} ended: {last_words(self._log)}")
        result: dict[str, Any] = json.loads(line)
        return result

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


class Endpoint:
    """An engine behind HTTP: streams of text, asked from this process."""

    def __init__(
        self, name: str, process: "subprocess.Popen[bytes]", port: int, *, ids: bool
    ) -> None:
        """Take over a server that is ready; `ids` says whether it takes token ids as prompts."""
        self.name = name
        self.port = port
        self.process = process
        self._takes_ids = ids
        self._round = 0
        process.send_signal(signal.SIGSTOP)

    def body(self, prompt: Prompt, new_tokens: int, salt: str) -> dict[str, Any]:
        """Write one request: the same work for each server, in the fields that it knows."""
        fields: dict[str, Any] = {"max_tokens": new_tokens, "stream": True}
        if self._takes_ids:
            usage = {"include_usage": True}
            own = {"temperature": 0, "ignore_eos": True, "cache_salt": salt}
            return {"prompt": prompt.ids, "stream_options": usage, **own, **fields}
        return {"prompt": prompt.text, **fields}  # greedy by its generation_config

    def measure(self, prompts: Sequence[Prompt], new_tokens: int) -> Sample:
        """Ask for all at once."""
        self.resume()
        self._round += 1
        bodies = [self.body(prompt, new_tokens, f"round-{self._round}") for prompt in prompts]
        used, began = processor_seconds(self.process.pid), time.perf_counter()
        try:
            answers = asyncio.run(_ask_all(self.port, bodies))
        except (BadAnswer, OSError) as error:
            raise EngineFailed(f"{self.name}: {error}") from error
        seconds = time.perf_counter() - began
        cpu_seconds = processor_seconds(self.process.pid) - used
        self.pause()
        for prompt, answer in zip(prompts, answers, strict=True):
            if answer.prompt_tokens != len(prompt.ids):
                raise EngineFailed(f"{self.name} read other prompts: their tokens differ in number")
        tokens = sum(answer.tokens for answer in answers)
        if tokens != new_tokens * len(prompts):
            raise EngineFailed(f"{self.name} gave {tokens} tokens for {len(prompts)} prompts")
        return Sample(
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            tokens=tokens,
            firsts=tuple(answer.first for answer in answers),
            gaps=tuple(gap for answer in answers for gap in answer.gaps),
        )

    def resume(self) -> None:
        """Let the server run."""
        self.process.send_signal(signal.SIGCONT)

    def pause(self) -> None:
        """Let the server stand still."""
        self.process.send_signal(signal.SIGSTOP)

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


async def _ask_all(port: int, bodies: Sequence[dict[str, Any]]) -> list[Answer]:
    return await asyncio.gather(*(ask(port, body) for body in bodies))


def start_ours(folder: Path, *, streams: int, threads: int, log: Path) -> Endpoint:
    """Start our server on a free port and wait until it is ready."""
    line = [sys.executable, "-m", "model_server", "--model", str(folder), "--host", "127.0.0.1"]
    line += ["--port", "0", "--max-sequences", str(streams), "--max-queued", "1000"]
    process = _start(line, threads, log)

    def port() -> int | None:
        found = re.search(r'"event": "listening".*"port": (\d+)', log.read_text(encoding="utf-8"))
        return int(found[1]) if found else None

    place = _wait(process, log, port)
    _wait(process, log, lambda: place if _answers(place, "/ready") else None)
    return Endpoint("ours_http", process, place, ids=True)


def start_serve(folder: Path, program: Path, port: int, *, threads: int, log: Path) -> Endpoint:
    """Start `transformers serve` with continuous batching and wait until it has the model."""
    line = [str(program), "serve", "--continuous-batching", "--device", "cpu", "--dtype", "float32"]
    line += ["--host", "127.0.0.1", "--port", str(port), str(folder)]
    process = _start(line, threads, log)
    _wait(process, log, lambda: port if _answers(port, "/health") else None)
    return Endpoint("transformers_serve", process, port, ids=False)


def environment(threads: int) -> dict[str, str]:
    """Give every engine the same threads, no network, and bytecode, which any installation has."""
    own = {
        "PYTHONDONTWRITEBYTECODE": "",
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    return os.environ | own  # noqa: TID251 - handed on


def processor_seconds(pid: int) -> float:
    """Read the processor time of a process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def last_words(log: Path) -> str:
    """Return the last line that a process wrote."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it wrote nothing"


def _start(line: list[str], threads: int, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        return subprocess.Popen(line, stdout=output, stderr=output, env=environment(threads))


def _wait(process: "subprocess.Popen[bytes]", log: Path, found: Any) -> int:  # noqa: ANN401
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if (port := found()) is not None:
            return int(port)
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise EngineFailed(f"{log.stem} did not start: {last_words(log)}")


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
