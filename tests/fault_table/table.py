"""Turn cases into the table of the README, and into the JSON object that the command prints."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.fault_table.cases import Case

BEGIN = "<!-- fault table: written by `make fault-table` -->"
END = "<!-- end of the fault table -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    Sum up one situation.

    Attributes:
        name: The situation.
        told: What happens in it.
        writes: How many writes the operator makes there.
        deaths: How often it was killed.
        passed: After how many of those no oracle objected.
        seconds: From restart to the end state, for those that got there.
        objections: What the oracles said, by the name of the death.
    """

    name: str
    told: str
    writes: int
    deaths: int
    passed: int
    seconds: tuple[float, ...]
    objections: dict[str, dict[str, list[str]]]


def rows_of(cases: Iterable[Case]) -> list[Row]:
    """Sum up each situation; a death that found no write to die at is none."""
    by_name: dict[str, list[Case]] = {}
    for case in cases:
        if case.write:
            by_name.setdefault(case.reference.scenario.name, []).append(case)
    return [
        Row(
            name=name,
            told=found[0].reference.scenario.told,
            writes=len(found[0].reference.writes),
            deaths=len(found),
            passed=sum(not case.objections for case in found),
            seconds=tuple(case.seconds for case in found if case.ended_at),
            objections={str(case): case.objections for case in found if case.objections},
        )
        for name, found in by_name.items()
    ]


def table(rows: Iterable[Row], where: str) -> str:
    """Render the rows as Markdown."""
    lines = [
        "| situation | writes | kills | as without the kill | to the end state: median | worst |",
        "|---|---|---|---|---|---|",
    ]
    everything = list(rows)
    lines += [
        f"| {row.name}: {row.told} | {row.writes} | {row.deaths} | {row.passed} "
        f"| {_seconds(median(row.seconds))} | {_seconds(max(row.seconds))} |"
        for row in everything
    ]
    times = [each for row in everything for each in row.seconds]
    lines.append(
        f"| **all** | {sum(row.writes for row in everything)} "
        f"| {sum(row.deaths for row in everything)} | {sum(row.passed for row in everything)} "
        f"| {_seconds(median(times))} | {_seconds(max(times))} |"
    )
    return "\n".join([*lines, "", f"Measured on {where}."])


def _seconds(value: float) -> str:
    return f"{value:.1f} s"


def put_into(page: str, rows: Iterable[Row], where: str) -> str:
    """
    Replace what stands between the marks of a page.

    Raises:
        ValueError: The page has no marks.
    """
    if BEGIN not in page or END not in page:
        raise ValueError(f"the page needs the two lines {BEGIN!r} and {END!r}")
    before, rest = page.split(BEGIN, 1)
    return f"{before}{BEGIN}\n\n{table(rows, where)}\n\n{END}{rest.split(END, 1)[1]}"


def summary(rows: Iterable[Row], where: str) -> dict[str, Any]:
    """Return the result for programs."""
    everything = list(rows)
    times = [each for row in everything for each in row.seconds]
    return {
        "kills": sum(row.deaths for row in everything),
        "passed": sum(row.passed for row in everything),
        "median_seconds": round(median(times), 2),
        "worst_seconds": round(max(times), 2),
        "machine": where,
        "situations": {
            row.name: {
                "writes": row.writes,
                "kills": row.deaths,
                "passed": row.passed,
                "median_seconds": round(median(row.seconds), 2),
                "worst_seconds": round(max(row.seconds), 2),
                "objections": row.objections,
            }
            for row in everything
        },
    }


def machine() -> str:
    """Name the machine as benchmarks/README.md does, and how busy it was."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    name = " ".join((found.group(1) if found else "unknown").split()[:2])
    return (
        f"{os.cpu_count()} cores ({name}) that also run the API server, etcd and the played world, "
        f"at a load of {os.getloadavg()[2]:.0f}"
    )
