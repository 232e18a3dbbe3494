"""
Give every engine the same loads, in turns, and compare what they did.

Each repeat goes round all engines before the next begins, so that whatever else the machine does
falls on all of them, and has prompts of its own, so that no engine finds a prompt in its cache
that it computed in the repeat before. `generate` one by one is the same at any number of streams,
so its rate is measured with one and stands in every row.
"""

import sys
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.serving.engines import Engine, EngineFailed, Sample
from benchmarks.serving.figures import percentile, spread
from benchmarks.serving.workloads import Prompt

ALONE = "generate"
SERVE = "transformers_serve"
OURS, OURS_HTTP = "ours", "ours_http"
Rounds = Sequence[Sequence[Prompt]]  # of each repeat, after those of the warm-up
IN_PROCESS_PEERS = ("generate", "generate_batch", "ctranslate2")


def measure_loads(
    engines: Sequence[Engine],
    loads: Mapping[str, Rounds],
    new_tokens: int,
) -> dict[str, dict[str, Any]]:
    """Return what each engine did at each load, by load and engine; the first round warms up."""
    return {
        load: _measure_load(engines, load, rounds, new_tokens) for load, rounds in loads.items()
    }


def _measure_load(
    engines: Sequence[Engine], load: str, rounds: Rounds, new_tokens: int
) -> dict[str, Any]:
    samples: dict[str, list[Sample]] = {}
    failed: dict[str, str] = {}
    for repeat, prompts in enumerate(rounds):
        for engine in engines:
            if engine.name in failed:
                continue
            part = prompts[:1] if engine.name == ALONE else prompts
            tell(f"load {load}: {engine.name}, {repeat or 'warm-up'}")
            try:
                # The warm-up is short: it is there for first calls, not for the load.
                count = new_tokens if repeat else min(8, new_tokens)
                sample = engine.measure(part, count)
            except EngineFailed as error:
                failed[engine.name] = str(error)
                tell(failed[engine.name])
                continue
            if repeat:
                samples.setdefault(engine.name, []).append(sample)
    reference = samples.get("generate_batch", samples.get(ALONE, []))
    result = {name: _summary(some, reference) for name, some in samples.items()}
    return result | {name: {"failed": reason} for name, reason in failed.items()}


def _summary(samples: Sequence[Sample], reference: Sequence[Sample]) -> dict[str, Any]:
    wall = spread([sample.tokens / sample.seconds for sample in samples])
    result: dict[str, Any] = {
        "tokens_per_second": {"median": wall.median, "least": wall.least, "most": wall.most},
        "tokens_per_cpu_second": median(
            sample.tokens / max(sample.cpu_seconds, 0.001) for sample in samples
        ),
    }
    if samples[0].gaps:
        result["first_token_seconds"] = _percentiles([s.firsts for s in samples])
        result["gap_seconds"] = _percentiles([s.gaps for s in samples])
    if samples[0].answers and reference:
        pairs = list(zip(samples[0].answers, reference[0].answers, strict=False))
        result["same_answers_as_generate"] = sum(a == b for a, b in pairs) / len(pairs)
    return result


def _percentiles(repeats: Sequence[Sequence[float]]) -> dict[str, float]:
    """Return the median over repeats of each percentile."""
    return {
        f"p{share * 100:g}": median(percentile(values, share) for values in repeats)
        for share in (0.5, 0.95, 0.99)
    }


def ratios(loads: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Compare ours with each peer at each load: by the wall, and by processor time."""
    return {load: _ratios(engines) for load, engines in loads.items()}


def _ratios(engines: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    walls = {n: e["tokens_per_second"]["median"] for n, e in engines.items() if "failed" not in e}
    work = {n: e["tokens_per_cpu_second"] for n, e in engines.items() if "failed" not in e}
    if OURS in walls:
        for peer in IN_PROCESS_PEERS:
            if peer in walls:
                found[peer] = walls[OURS] / walls[peer]
                found[f"{peer}_per_cpu_second"] = work[OURS] / work[peer]
        best = max((walls[peer] for peer in IN_PROCESS_PEERS if peer in walls), default=None)
        if best is not None:
            found["best"] = walls[OURS] / best
    if OURS_HTTP in walls and SERVE in walls:
        found["serve"] = walls[OURS_HTTP] / walls[SERVE]
        found["serve_per_cpu_second"] = work[OURS_HTTP] / work[SERVE]
        gaps = [engines[name].get("gap_seconds", {}).get("p99") for name in (OURS_HTTP, SERVE)]
        if all(gaps):
            found["serve_p99_gap"] = gaps[0] / gaps[1]
    return found


def tell(what: str) -> None:
    """Say on standard error how far it is."""
    print(what, file=sys.stderr, flush=True)
