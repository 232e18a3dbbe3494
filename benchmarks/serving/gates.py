"""
Hold the report against its goals: what was wanted, what was measured, whether it was met. Pure.

A gate names the place of its figure in the report. A figure that was not measured (a peer that did
not start, a workload of the other mode) gives no verdict, and the report says so.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

GATES = Path(__file__).with_name("gates.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Hold one goal."""

    name: str
    at: tuple[str, ...]
    bound: Literal["least", "most"]
    value: float
    unit: str

    @property
    def goal(self) -> str:
        """The goal in words."""
        return f"at {self.bound} {self.value:g} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Hold a goal beside what was measured; None where nothing was."""

    gate: Gate
    measured: float | None

    @property
    def met(self) -> bool | None:
        """Whether the goal was met; None where nothing was measured."""
        if self.measured is None:
            return None
        if self.gate.bound == "least":
            return self.measured >= self.gate.value
        return self.measured <= self.gate.value


def read_gates(path: Path = GATES) -> tuple[Gate, ...]:
    """
    Read the goals.

    Raises:
        ValueError: If a gate has not exactly one of `least` and `most`.
    """
    gates = []
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        bounds = [bound for bound in ("least", "most") if bound in entry]
        if len(bounds) != 1:
            raise ValueError(f"{entry['name']}: give one of least and most, not {bounds}")
        bound: Literal["least", "most"] = "least" if bounds == ["least"] else "most"
        gates.append(
            Gate(
                name=entry["name"],
                at=tuple(map(str, entry["at"])),
                bound=bound,
                value=float(entry[bound]),
                unit=entry.get("unit", ""),
            )
        )
    return tuple(gates)


def judge(gates: tuple[Gate, ...], report: dict[str, Any]) -> list[Verdict]:
    """Look each gate's figure up."""
    return [Verdict(gate=gate, measured=_figure(report, gate.at)) for gate in gates]


def _figure(report: Any, place: tuple[str, ...]) -> float | None:  # noqa: ANN401 - any JSON
    for key in place:
        if not isinstance(report, dict) or key not in report:
            return None
        report = report[key]
    return None if report is None else float(report)
