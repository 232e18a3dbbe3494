"""
Oracle C: count how often each object was made and deleted.

Two runs may end alike though one of them bought a machine, threw it away and bought another. Names
that carry a hash are replaced by the part that the object plays: a NodeClaim by its ordinal, a
ReplicaSet and a Pod by their kind.
"""

from collections import Counter
from collections.abc import Iterable

from tests.world.history import Revision

ORDINAL = "atelier.kaito.sh/ordinal"
COUNTED = (
    "Workspace",
    "NodeClaim",
    "Deployment",
    "ReplicaSet",
    "Service",
    "NetworkPolicy",
    "Pod",
)

Tally = Counter[tuple[str, str, str]]


def tally(revisions: Iterable[Revision], *, alike: bool = False) -> Tally:
    """
    Count creations and deletions per object.

    Args:
        revisions: Of one namespace.
        alike: Whether it does not matter which of a Workspace's machines it was.
    """
    found: Tally = Counter()
    seen: set[str] = set()
    for each in revisions:
        if each.kind not in COUNTED:
            continue
        if each.uid not in seen:
            seen.add(each.uid)
            found[each.kind, _part(each, alike=alike), "created"] += 1
        if each.change == "DELETED":
            found[each.kind, _part(each, alike=alike), "deleted"] += 1
    return found


def _part(revision: Revision, *, alike: bool) -> str:
    if alike and revision.kind == "NodeClaim":
        return ""
    if revision.kind == "NodeClaim":
        annotations = revision.body["metadata"].get("annotations") or {}
        return f"ordinal {annotations.get(ORDINAL, '?')}"
    return "" if revision.kind in {"ReplicaSet", "Pod"} else revision.name
