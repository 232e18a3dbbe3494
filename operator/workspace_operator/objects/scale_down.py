"""
Choose which machine goes when the count falls: the one whose pod has gone, never one that answers.

Kubernetes chooses the pod that a smaller Deployment loses: one that is not ready, or the youngest.
To steer that, pods would have to be written, a right that the operator does not have. So the
machines follow the pods: first the Deployment gets smaller, then a pod is told to go and finishes
its answers, then the machine without a pod is given back, and what is left of the answers holds its
drain.

Invariant: what waits here counts as a claim all the same, so nothing is bought meanwhile.
Must not import the other kinds of `objects`.
"""

from collections.abc import Mapping

from workspace_operator.snapshot import NodeClaim, Snapshot
from workspace_operator.snapshot.reading import integer, section

ENDED = frozenset({"Failed", "Succeeded"})


def split(
    claims: Mapping[int, NodeClaim], count: int, snapshot: Snapshot
) -> tuple[tuple[int, ...], tuple[NodeClaim, ...]]:
    """
    Choose between the claims of a Workspace.

    Args:
        claims: By their ordinals.
        count: How many are wanted.
        snapshot: Which pods there are, and on which nodes.

    Returns:
        The ordinals of those to keep, and the claims beyond them that may be given back now.

    """
    busy = frozenset(
        pod.node for pod in snapshot.current_pods if pod.node and pod.phase not in ENDED
    )
    kept = sorted(claims, key=lambda ordinal: _worth(ordinal, claims[ordinal], busy))[:count]
    beyond = [claim for ordinal, claim in claims.items() if ordinal not in kept]
    held = busy if _has_pods_to_lose(claims, count, snapshot, busy) else frozenset()
    return tuple(kept), tuple(claim for claim in beyond if claim.node_name not in held)


def _has_pods_to_lose(
    claims: Mapping[int, NodeClaim], count: int, snapshot: Snapshot, busy: frozenset[str]
) -> bool:
    """Say whether Kubernetes is still to choose which pod goes."""
    live = snapshot.deployment
    if live is None or section(live, "metadata").get("deletionTimestamp"):
        return False
    pods = max(
        integer(section(live, "spec").get("replicas")),
        integer(section(live, "status").get("replicas")),
        sum(claim.node_name in busy for claim in claims.values()),
    )
    return pods > count


def _worth(
    ordinal: int, claim: NodeClaim, busy: frozenset[str]
) -> tuple[bool, bool, bool, float, int]:
    """Order by what is lost: living ones, those with a pod, ready ones, and old ones come first."""
    born = claim.created.timestamp() if claim.created else float("inf")
    return (claim.deleting, claim.node_name not in busy, not claim.ready, born, ordinal)
