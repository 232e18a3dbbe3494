"""
Write to NodeClaims as Karpenter does: finalizer, labels, status, events.

Every write is a kubectl call as the administrator; lists are replaced only in the version that was
read, so that two writers never lose each other's entries.
"""

import json
from datetime import UTC, datetime
from typing import Any

from tests.cluster.control_plane import ControlPlane
from tests.cluster.node_claims import FINALIZER, Manifest, conditions

COMPONENT = "local-machine-provider"


def hold(plane: ControlPlane, claim: Manifest) -> None:
    """Put the termination finalizer on a claim."""
    _set_finalizers(plane, claim, [*_other_finalizers(claim), FINALIZER])


def release(plane: ControlPlane, claim: Manifest) -> None:
    """Take the termination finalizer off a claim, read again: its version has moved meanwhile."""
    current = plane.read("get", "nodeclaim", claim["metadata"]["name"])
    _set_finalizers(plane, current, _other_finalizers(current))


def set_conditions(
    plane: ControlPlane,
    claim: Manifest,
    changed: dict[str, tuple[str, str, str]],
    status: dict[str, Any] | None = None,
) -> None:
    """Write some conditions, and what else of the status is given."""
    written = {"conditions": conditions(claim, changed, _now()), **(status or {})}
    patch(plane, claim, {"status": written}, "--subresource=status")


def warn(plane: ControlPlane, claim: Manifest, reason: str, message: str) -> None:
    """Post a Warning event about a claim; events of cluster-scoped objects are in `default`."""
    metadata, now = claim["metadata"], _now()
    involved = {"apiVersion": claim["apiVersion"], "kind": "NodeClaim"}
    plane.apply(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name']}.{metadata['uid'][:8]}",
                "namespace": "default",
            },
            "involvedObject": involved | {"name": metadata["name"], "uid": metadata["uid"]},
            "type": "Warning",
            "reason": reason,
            "message": message,
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
    )


def patch(plane: ControlPlane, claim: Manifest, change: dict[str, Any], *how: str) -> None:
    """Apply a merge patch to a claim."""
    name = claim["metadata"]["name"]
    plane.kubectl("patch", "nodeclaim", name, "--type=merge", *how, "-p", json.dumps(change))


def _set_finalizers(plane: ControlPlane, claim: Manifest, finalizers: list[str]) -> None:
    version = claim["metadata"]["resourceVersion"]
    patch(plane, claim, {"metadata": {"finalizers": finalizers, "resourceVersion": version}})


def _other_finalizers(claim: Manifest) -> list[str]:
    return [each for each in claim["metadata"].get("finalizers", []) if each != FINALIZER]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
