"""
See a Job that tunes, and what the program in its pod said of itself.

Must not import anything above `snapshot`.
"""

import json
from dataclasses import dataclass
from typing import Any, Self

from workspace_operator.snapshot.reading import (
    Manifest,
    ObservedCondition,
    conditions,
    integer,
    mappings,
    section,
)

MAX_TEXT = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Hold what the cluster says about one Job."""

    active: int = 0
    failed: int = 0
    complete: bool = False
    failure: ObservedCondition | None = None

    @classmethod
    def parse(cls, manifest: Manifest) -> Self:
        """Read a Job."""
        status = section(manifest, "status")
        found = conditions(manifest)
        failure = found.get("Failed")
        complete = found.get("Complete")
        return cls(
            active=integer(status.get("active")),
            failed=integer(status.get("failed")),
            complete=complete is not None and complete.is_true,
            failure=failure if failure is not None and failure.is_true else None,
        )

    @property
    def ended(self) -> bool:
        """Say whether nothing more comes of it."""
        return self.complete or self.failure is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingAnswer:
    """
    Hold what a training said about itself; docs/architecture.md has the fields.

    `phase` is empty where it could not be asked.
    """

    phase: str = ""
    step: int = 0
    steps: int = 0
    loss: float | None = None
    first_loss: float | None = None
    tokens_per_second: float | None = None
    seconds_left: int | None = None


def is_pod_of(job: Manifest, pod: Manifest) -> bool:
    """Say whether a pod is this Job's, and not one that an earlier Job of its name has left."""
    references = mappings(section(pod, "metadata").get("ownerReferences"))
    owners = {each.get("uid") for each in references if each.get("controller")}
    return not owners or section(job, "metadata").get("uid") in owners


def parse_training_answer(body: str) -> TrainingAnswer:
    """Read the contract's fields; whatever is missing or of another type stays empty."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return TrainingAnswer()
    if not isinstance(content, dict):
        return TrainingAnswer()
    left = _number(content, "seconds_left")
    return TrainingAnswer(
        phase=str(content.get("phase") or "")[:MAX_TEXT],
        step=int(_number(content, "step") or 0),
        steps=int(_number(content, "steps") or 0),
        loss=_number(content, "loss"),
        first_loss=_number(content, "first_loss"),
        tokens_per_second=_number(content, "tokens_per_second"),
        seconds_left=None if left is None else round(left),
    )


def _number(content: dict[str, Any], key: str) -> float | None:
    """Return a figure that can be told: finite, and no less than nothing."""
    value = content.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 10**15 else None
