"""Oracle Q: when the end is reached, the operator writes nothing more."""

from collections.abc import Collection, Iterable

from tests.world.fault_proxy import Exchange
from tests.world.fault_rules import Asked
from tests.world.history import NAMESPACE


def concerns(asked: Asked, team: str, claims: Collection[str]) -> bool:
    """Tell whether a write is about a namespace, or about a NodeClaim of it."""
    if asked.plural == "nodeclaims":
        labels = asked.body.get("metadata", {}).get("labels", {})
        return asked.name in claims or labels.get(NAMESPACE) == team
    return asked.namespace == team


def late_writes(
    log: Iterable[Exchange], since: float, team: str, claims: Collection[str]
) -> list[str]:
    """Return the writes about a namespace that came after a moment of the monotonic clock."""
    return [
        str(each.asked)
        for each in log
        if each.at > since and each.asked.is_write and concerns(each.asked, team, claims)
    ]
