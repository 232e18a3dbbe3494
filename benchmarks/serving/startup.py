"""Time starts: of the interpreter with its libraries, of the server, and of the load of weights."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.serving.engines import environment, processor_seconds, start_ours
from benchmarks.serving.figures import spread
from benchmarks.serving.sweep import tell

IMPORTS = (
    "import time, torch, transformers\n"
    "from transformers import AutoModelForCausalLM\n"
    "print(time.process_time())"
)


def cold_start(model: Path, logs: Path, repeats: int) -> dict[str, Any]:
    """Compare a start until /ready says yes with the imports alone; page cache warm."""
    starts, imports, start_cpu, import_cpu = [], [], [], []
    start_ours(model, streams=32, threads=1, log=logs / "cold-start.log").close()  # bytecode
    for repeat in range(repeats):
        tell(f"cold start: {repeat + 1}")
        began = time.perf_counter()
        line = [sys.executable, "-c", IMPORTS]
        done = subprocess.run(line, check=True, capture_output=True, env=environment(1))
        imports.append(time.perf_counter() - began)
        import_cpu.append(float(done.stdout))
        began = time.perf_counter()
        endpoint = start_ours(model, streams=32, threads=1, log=logs / "cold-start.log")
        starts.append(time.perf_counter() - began)
        start_cpu.append(processor_seconds(endpoint.process.pid))
        endpoint.close()
    return {
        "ready_seconds": _figures(starts),
        "ready_cpu_seconds": _figures(start_cpu),
        "imports_seconds": _figures(imports),
        "imports_cpu_seconds": _figures(import_cpu),
        "extra_seconds": spread(starts).median - spread(imports).median,
        "extra_cpu_seconds": spread(start_cpu).median - spread(import_cpu).median,
    }


def load_speed(model: Path, logs: Path, repeats: int, threads: int) -> dict[str, Any]:
    """
    Compare a load of weights with reading the same bytes; page cache warm.

    Beside it stands the server's own figure, in which tokenizer, cache and grammars are too.
    """
    loads, reads, whole = [], [], []
    line = [sys.executable, "-m", "benchmarks.serving.loading", str(model)]
    for repeat in range(repeats):
        tell(f"load: {repeat + 1}")
        done = subprocess.run(line, check=True, capture_output=True, env=environment(threads))
        seconds = json.loads(done.stdout)
        reads.append(seconds["read_seconds"])
        loads.append(seconds["load_seconds"])
        endpoint = start_ours(model, streams=32, threads=threads, log=logs / "load.log")
        endpoint.resume()
        url = f"http://127.0.0.1:{endpoint.port}/ready"
        with urllib.request.urlopen(url, timeout=10) as answer:
            whole.append(json.load(answer)["seconds"]["load"])
        endpoint.close()
    size = sum(path.stat().st_size for path in model.glob("*.safetensors"))
    return {
        "bytes": size,
        "load_seconds": _figures(loads),
        "read_seconds": _figures(reads),
        "server_load_seconds": _figures(whole),
        "ratio": spread(loads).median / spread(reads).median,
    }


def _figures(values: list[float]) -> dict[str, float]:
    found = spread(values)
    return {"median": found.median, "least": found.least, "most": found.most}
