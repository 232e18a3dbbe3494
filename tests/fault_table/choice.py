"""Choose the deaths that tell most, where there is no time for all of them."""

from tests.fault_table.cases import Reference
from tests.world.fault_rules import Asked, Moment

AT_MOST = 3


def telling_deaths(reference: Reference) -> list[tuple[int, Moment]]:
    """
    Return the writes to die at: machines and finalizers first, then one of each other kind.

    A write that makes something is the more dangerous one to have done without knowing; one that
    gives something up is the more dangerous one to have believed done.
    """
    numbered = list(enumerate(reference.writes, 1))
    ranked = sorted(numbered, key=lambda each: _rank(each[1]))
    chosen: list[tuple[int, Moment]] = []
    seen: set[tuple[str, str]] = set()
    for at, asked in ranked:
        kind = (
            asked.verb,
            asked.path.rsplit("/", 1)[-1] if "/status" in asked.path else asked.plural,
        )
        if kind not in seen and len(chosen) < AT_MOST:
            seen.add(kind)
            chosen.append((at, "after" if asked.verb != "DELETE" else "before"))
    return chosen


def _rank(asked: Asked) -> int:
    if asked.plural == "nodeclaims":
        return 0
    if asked.plural == "workspaces":
        return 2 if asked.path.endswith("/status") else 1
    return {"deployments": 3, "services": 4}.get(asked.plural, 5)
