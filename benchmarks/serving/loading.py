"""
Read the weights of a folder, then load them as the server does, in a process of its own.

    python -m benchmarks.serving.loading FOLDER

One line of JSON out: `read_seconds` for the bytes alone, into memory of the process; `load_seconds`
from the files to weights that a step can compute with, packed where they are. Without tokenizer
and cache. Both in one process, one after the other: the machine's speed changes within minutes.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def load(folder: Path) -> float:
    """Return the seconds of a load."""
    from model_server.lean_import import lean_transformers  # noqa: PLC0415 - seconds

    with lean_transformers():
        from model_server.compute.forward import choose_path  # noqa: PLC0415 - seconds
        from model_server.compute.model import load_model  # noqa: PLC0415 - seconds
    from model_server.settings import FAST_PATHS  # noqa: PLC0415 - with the others

    began = time.perf_counter()
    model = load_model(folder, device="cpu", dtype="auto", progress=lambda _done, _total: None)
    choose_path(model, FAST_PATHS)
    return time.perf_counter() - began


def read(folder: Path) -> float:
    """Return the seconds of reading the same bytes, as a load must at the least."""
    began = time.perf_counter()
    for path in sorted(folder.glob("*.safetensors")):
        path.read_bytes()
    return time.perf_counter() - began


def main() -> None:
    """Read, load, tell."""
    from model_server.compute.processors import spin_shortly  # noqa: PLC0415 - beside the others

    spin_shortly(os.environ)  # noqa: TID251 - as the server starts
    folder = Path(sys.argv[1])
    seconds = {"read_seconds": read(folder)}
    with ThreadPoolExecutor(1) as thread:  # as the server does
        seconds["load_seconds"] = thread.submit(load, folder).result()
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
