"""
Oracle G: never more machines than were asked for, at any revision of etcd.

A Workspace that is made smaller has too many for a while, and that is no fault. So the question is
put at each creation: were there, with this one, more claims than the Workspace wanted at that
revision; was there a Workspace at all, and was it there to stay? A claim that is being deleted
counts: its machine costs money until it is gone.
"""

from collections.abc import Iterable

from tests.world.history import WORKSPACE, Revision


def too_many_claims(revisions: Iterable[Revision], *, surge: int = 0) -> list[str]:
    """
    Return a sentence per claim that should not have been made.

    Args:
        revisions: Of one namespace, in etcd's order, from its beginning.
        surge: How many claims beyond the count are declared to be right.
    """
    found = []
    counts: dict[str, int] = {}
    claims: dict[str, str] = {}
    for each in revisions:
        if each.kind == "Workspace":
            counts[each.name] = _wanted(each)
        elif each.kind == "NodeClaim" and each.change == "DELETED":
            claims.pop(each.uid, None)
        elif each.kind == "NodeClaim" and each.uid not in claims:
            owner = (each.body["metadata"].get("labels") or {}).get(WORKSPACE, "?")
            claims[each.uid] = owner
            number = sum(1 for one in claims.values() if one == owner)
            wanted = counts.get(owner, 0)
            if number > wanted + (surge if wanted else 0):
                found.append(
                    f"revision {each.number}: NodeClaim {each.name} is number {number} "
                    f"of Workspace {owner}, which wants {wanted}"
                )
    return found


def _wanted(workspace: Revision) -> int:
    if workspace.change == "DELETED" or workspace.body["metadata"].get("deletionTimestamp"):
        return 0
    return int(workspace.body["resource"].get("count") or 1)
