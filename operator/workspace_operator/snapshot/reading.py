"""
Read fields out of Kubernetes objects that may be half filled.

A claim that Karpenter has not seen yet has no status, a pod that was never scheduled has no node,
and a client that is not the API server may send anything. Every function here answers with an empty
value of the asked type instead of failing, so that one odd object cannot stop a reconcile.

Invariant: total functions; nothing here raises on any JSON value.
Must not import anything of this package.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedCondition:
    """Hold one condition as some controller wrote it."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    since: datetime | None = None

    @property
    def is_true(self) -> bool:
        """Say whether the condition holds."""
        return self.status == "True"


def section(value: object, *path: str) -> Manifest:
    """Return the mapping at this path, or an empty one."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> tuple[Manifest, ...]:
    """Return the mappings of a list, without whatever else it holds."""
    return (
        tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()
    )


def text(value: object) -> str:
    """Return a string, or an empty one."""
    return value if isinstance(value, str) else ""


def integer(value: object) -> int:
    """Return a whole number from a number or a plain quantity such as "1"; 0 for anything else."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else 0


def strings(value: object) -> dict[str, str]:
    """Return the pairs of a mapping whose values are strings: labels, annotations."""
    if not isinstance(value, dict):
        return {}
    return {key: item for key, item in value.items() if isinstance(item, str)}


def moment(value: object) -> datetime | None:
    """Return a timestamp in UTC, or none if this is not one."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def conditions(manifest: Manifest) -> dict[str, ObservedCondition]:
    """Return the conditions of an object's status by their type."""
    return {
        text(item.get("type")): ObservedCondition(
            type=text(item.get("type")),
            status=text(item.get("status")),
            reason=text(item.get("reason")),
            message=text(item.get("message")),
            since=moment(item.get("lastTransitionTime")),
        )
        for item in mappings(section(manifest, "status").get("conditions"))
    }


def earliest(moments: Sequence[datetime | None]) -> datetime | None:
    """Return the first of the known moments."""
    return min((when for when in moments if when is not None), default=None)
