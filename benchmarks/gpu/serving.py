"""The server as a process: what HTTP costs beside the engine alone, and how long a start takes."""

import json
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.decode import STREAMS
from benchmarks.gpu.goals import Goal
from benchmarks.gpu.shapes import make_model, write_checkpoint
from benchmarks.gpu.steps import random_prompt
from benchmarks.serving.engines import Worker, start_ours
from benchmarks.serving.loading import read
from benchmarks.serving.workloads import Prompt

PROMPT_TOKENS = 220


@dataclass(frozen=True, slots=True)
class Bench:
    """Say what to start, how often, and where it may write its log."""

    place: Path
    logs: Path
    repeats: int
    threads: int

    def middle(self, values: list[float]) -> float:
        """Take the median."""
        return sorted(values)[len(values) // 2]


def checkpoint(shape: str, device: str, dtype: torch.dtype, folder: Path) -> Path:
    """Write the checkpoint, unless an earlier run has; the model is gone afterwards."""
    place = folder / shape
    if not (place / "config.json").exists():
        place.mkdir(parents=True, exist_ok=True)
        model = make_model(shape, device, dtype)
        write_checkpoint(model, place)
        del model
        if device == "cuda":
            torch.cuda.empty_cache()
    return place


def http_overhead(bench: Bench, new_tokens: int) -> dict[str, Any]:
    """Ask the same 64 answers of the engine in process and of the server."""
    vocabulary = json.loads((bench.place / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    prompts = [
        Prompt(text="", ids=random_prompt(PROMPT_TOKENS, vocabulary, seed))
        for seed in range(STREAMS)
    ]
    size = {"streams": STREAMS, "threads": bench.threads}
    rates: dict[str, list[float]] = {}
    worker = Worker("ours", bench.place, sys.executable, log=bench.logs / "worker.log", **size)
    for _ in range(bench.repeats):
        sample = worker.measure(prompts, new_tokens)
        rates.setdefault("engine", []).append(sample.tokens / sample.seconds)
    worker.close()
    server = start_ours(bench.place, log=bench.logs / "server.log", **size)
    for _ in range(bench.repeats):
        sample = server.measure(prompts, new_tokens)
        rates.setdefault("http", []).append(sample.tokens / sample.seconds)
    server.close()
    engine, http = (bench.middle(rates[name]) for name in ("engine", "http"))
    return {
        "tokens per second": rates,
        "goals": [Goal("HTTP, part of the rate", most=0.05, measured=1 - http / engine).as_json()],
    }


def cold_start(bench: Bench) -> dict[str, Any]:
    """Start the server with its files read before: seconds until /ready says yes."""
    read(bench.place)
    seconds, phases = [], []
    for number in range(bench.repeats):
        began = time.perf_counter()
        log = bench.logs / f"start-{number}.log"
        server = start_ours(bench.place, streams=32, threads=bench.threads, log=log)
        seconds.append(time.perf_counter() - began)
        server.resume()
        url = f"http://127.0.0.1:{server.port}/ready"
        with urllib.request.urlopen(url, timeout=10) as answer:
            phases.append(json.load(answer)["seconds"])
        server.close()
    return {
        "seconds": seconds,  # the first compiles the kernels where Triton's cache is cold
        "phases": phases,
        "goals": [
            Goal("ready, s from the start", most=20.0, measured=bench.middle(seconds)).as_json()
        ],
    }
