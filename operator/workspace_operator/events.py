"""
Tell the user's own event log about each phase of a Workspace, each failure, each drift put right.

The status holds both, and only the Lease's holder writes it, so one is announced when the stored
one differs from the new one: a restart announces nothing again. After a crash between the two
writes one event is missing, never doubled.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from workspace_operator.api import WorkspaceStatus
from workspace_operator.cluster.kinds import EVENT, Manifest
from workspace_operator.conditions import READY, STALLED, WORKSPACE_SUCCEEDED

REPORTER = "kaito.sh/atelier"
DRIFT = "Drift"
# Source: k8s.io/api/events/v1, type Event: note holds at most 1 kB.
MAX_NOTE_BYTES = 1024


def headline(status: WorkspaceStatus) -> str | None:
    """Return the word that an event would have: what somebody must act on, else the phase."""
    stalled = status.condition(STALLED)
    return stalled.reason if stalled else status.phase


def headline_event(
    body: Mapping[str, Any],
    before: str | None,
    after: WorkspaceStatus,
    now: datetime,
    instance: str,
) -> Manifest | None:
    """Return the event for what has just become the headline of a Workspace, or None."""
    word = headline(after)
    if word is None or word == before:
        return None
    about = {"reason": word[:128], "note": _cut(_note(after)), "action": "Reconcile"}
    return _event(body, now, instance) | about | {"type": _type(failed=_has_failed(after))}


def drift_event(
    body: Mapping[str, Any], changed: Manifest, now: datetime, instance: str
) -> Manifest:
    """Return the event for an object of a Workspace that somebody else changed and we put back."""
    name = changed["metadata"]["name"]
    note = (
        f"{changed['kind']} {name} did not hold what this Workspace asks for, and was put back. "
        f"Fields that are not ours were left alone. Who changed it: "
        f"kubectl get {changed['kind'].lower()} {name} --show-managed-fields -o yaml"
    )
    about = {"reason": DRIFT, "note": _cut(note), "action": "Restore"}
    return _event(body, now, instance) | about | {"type": _type(failed=True)}


def _event(body: Mapping[str, Any], now: datetime, instance: str) -> Manifest:
    metadata = body["metadata"]
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {
            "name": f"{metadata['name']}.{int(now.timestamp() * 1_000_000):x}",
            "namespace": metadata["namespace"],
        },
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": REPORTER,
        "reportingInstance": instance[:128] or REPORTER,
        "regarding": {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
    }


def _type(*, failed: bool) -> str:
    return "Warning" if failed else "Normal"


def _note(status: WorkspaceStatus) -> str:
    """Explain it by the condition that everything leads to; progress would be old in a second."""
    ready = status.condition(READY) or status.condition(WORKSPACE_SUCCEEDED)
    return (ready.message if ready else "") or f"Phase {status.phase}"


def _has_failed(status: WorkspaceStatus) -> bool:
    """Say whether somebody has to act, or what served serves no more."""
    return status.condition(STALLED) is not None or status.state in {"Failed", "NotReady"}


def _cut(note: str) -> str:
    return note.encode()[: MAX_NOTE_BYTES - 4].decode(errors="ignore")
