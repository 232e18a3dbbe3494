"""
Answer one question about the server on a GPU, within ten minutes, on a machine without a network.

    python -m benchmarks.gpu check | single | batch | http | start | memory

Each run but `http` and `start` makes the model in place, checks the fast paths on this device
before it times anything, and exits 1 where they differ or a goal is missed. Progress goes to
standard error; one JSON object comes last. `--shape tiny --device cpu` runs the same code anywhere.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from model_server.settings import FAST_PATHS, FastPaths

from benchmarks.gpu import decode, serving
from benchmarks.gpu.check import self_check
from benchmarks.gpu.shapes import SHAPES, make_model

RUNS = ("check", "single", "batch", "http", "start", "memory")


def arguments_of(line: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("--shape", choices=SHAPES, default="mistral-7b")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument(
        "--fast-paths", type=FastPaths, choices=tuple(FastPaths), default=FAST_PATHS
    )
    parser.add_argument("--new-tokens", type=int, default=128, help="of each answer")
    parser.add_argument("--repeats", type=int, default=3, help="of http and start")
    parser.add_argument("--folder", type=Path, help="keeps the checkpoint of http and start")
    return parser.parse_args(line)


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Do one run."""
    dtype = torch.bfloat16 if arguments.device == "cuda" else torch.float32
    shape, device, rung = arguments.shape, arguments.device, arguments.fast_paths
    if arguments.run == "memory":
        return decode.held_to_16_gb(shape, device, dtype, rung)
    if arguments.run in ("http", "start"):
        place = serving.checkpoint(shape, device, dtype, arguments.folder or folder)
        bench = serving.Bench(place, folder, arguments.repeats, os.cpu_count() or 1)
        if arguments.run == "start":
            return serving.cold_start(bench)
        return serving.http_overhead(bench, arguments.new_tokens)
    model = make_model(shape, device, dtype)
    if arguments.run == "check":
        return {"self-check": self_check(model, rung)}
    run = decode.single_stream if arguments.run == "single" else decode.many_streams
    return run(model, rung, arguments.new_tokens)


def is_good(report: dict[str, Any]) -> bool:
    """Tell whether the check passed and every goal was met."""
    checked = report.get("self-check", {"passed": True})["passed"]
    return bool(checked) and all(goal["met"] for goal in report.get("goals", ()))


def machine(device: str) -> dict[str, Any]:
    """Say what was measured on."""
    card: Any = torch.cuda.get_device_properties(0) if device == "cuda" else None
    return {
        "device": card.name if card else platform.processor() or platform.machine(),
        "memory, bytes": card.total_memory if card else None,
        "processors": os.cpu_count(),
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers")},
    }


def main(line: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit status whether all is well."""
    arguments = arguments_of(line)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("torch sees no GPU: use --device cpu --shape tiny to try the code", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
        report = measure(arguments, Path(folder))
    report = {"run": arguments.run, "shape": arguments.shape, **machine(arguments.device), **report}
    print(json.dumps(report))
    return 0 if is_good(report) else 1


if __name__ == "__main__":
    sys.exit(main())
