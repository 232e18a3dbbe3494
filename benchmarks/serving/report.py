"""Write a report as tables, and into the page of benchmarks between its markers. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.serving.figures import Spread, short, table
from benchmarks.serving.gates import Verdict

BEGIN, END = "<!-- server: begin -->", "<!-- server: end -->"


def write_report(report: Mapping[str, Any], verdicts: Sequence[Verdict]) -> str:
    """Write all tables, with the machine above them."""
    machine = report["machine"]
    loads = ", ".join(f"{load:.1f}" for load in machine["load"])
    head = (
        f"{report['date']}, {report['mode']} mode, {machine['cpus']} processors "
        f"({machine['model']}), load average {loads} at its start and end; "
        f"torch {machine['torch']}, transformers {machine['transformers']}; float32; "
        f"median of {report['repeats']} repeats, in brackets the least and the most."
    )
    parts = [head]
    for model, workloads in report["models"].items():
        for name, loads_ in workloads.items():
            parts += [f"{model}, {name}:", loads_table(loads_)]
    parts += [gates_table(verdicts)]
    if report["absent"]:
        parts.append("\n".join(f"- {name}: {why}" for name, why in report["absent"].items()))
    return "\n\n".join(parts) + "\n"


def loads_table(loads: Mapping[str, Mapping[str, Any]]) -> str:
    """Write what each engine did at each load."""
    head = [
        "load",
        "engine",
        "tokens/s",
        "tokens per CPU s",
        "first token p50",
        "gap p50",
        "gap p99",
    ]
    head += ["same ids as generate"]
    rows = [
        [load, name, *_cells(figures)]
        for load, engines in loads.items()
        for name, figures in engines.items()
    ]
    return table(head, rows)


def _cells(figures: Mapping[str, Any]) -> list[str]:
    if "failed" in figures:
        return ["failed", "", "", "", "", ""]
    gaps, first = figures.get("gap_seconds"), figures.get("first_token_seconds")
    same = figures.get("same_answers_as_generate")
    return [
        Spread(**figures["tokens_per_second"]).text,
        short(figures["tokens_per_cpu_second"]),
        _milliseconds(first["p50"]) if first else "",
        _milliseconds(gaps["p50"]) if gaps else "",
        _milliseconds(gaps["p99"]) if gaps else "",
        "" if same is None else f"{same:.0%}",
    ]


def _milliseconds(seconds: float) -> str:
    return f"{short(seconds * 1000)} ms"


def gates_table(verdicts: Sequence[Verdict]) -> str:
    """Write each goal beside what was measured."""
    words = {True: "yes", False: "**no**", None: "not measured"}
    rows = [
        [v.gate.name, v.gate.goal, "" if v.measured is None else short(v.measured), words[v.met]]
        for v in verdicts
    ]
    return table(["goal", "wanted", "measured", "met"], rows)


def put_between_markers(page: str, text: str) -> str:
    """
    Replace what stands between the markers.

    Raises:
        ValueError: If the page has not both markers, once each.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page needs {BEGIN} and {END}, once each")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}"
