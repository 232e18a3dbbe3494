"""Hold a report against its gates: which goal, what was measured, whether it was met."""

from pathlib import Path
from typing import Any

import yaml

GATES = Path(__file__).with_name("operator_gates.yaml")


def judged(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return each gate whose figure was measured, with the figure and the verdict."""
    verdicts = []
    for gate in yaml.safe_load(GATES.read_text()):
        measured = _figure(results, gate["at"])
        if measured is not None:
            verdicts.append(
                {
                    "goal": f"{gate['name']}: at most {gate['most']} {gate['unit']}",
                    "measured": measured,
                    "met": measured <= gate["most"],
                }
            )
    return verdicts


def _figure(results: Any, place: list[str]) -> float | None:  # noqa: ANN401 - any JSON
    for key in place:
        if not isinstance(results, dict) or key not in results:
            return None
        results = results[key]
    return float(results)
