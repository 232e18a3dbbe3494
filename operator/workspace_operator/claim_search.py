"""
Find the NodeClaims of a Workspace, at a price that does not grow with those of the others.

A list by label makes the API server look at every claim of the cluster, and a fresh one decode each
of them: at a hundred Workspaces that was two thirds of all its work. So claims are read by their
names, which the status remembers and the watch has shown (`claim_names`), and listed only

- where fewer are found than are wanted, since then one may be made: the list comes from the API
  server's cache, but has what we have written, and each name in it is read afresh. One that the
  cache does not know yet is no danger: its name can be worked out again, so it is not made twice;
- where the Workspace goes, afresh, since whoever lets it go must know that nothing is left.

Else a list could only show a claim too many, and the watch or the sweep shows that one too.

Invariant: every claim that is returned is as the API server holds it now, never as a cache does.
Must not write or decide.
"""

from dataclasses import dataclass, field

from workspace_operator.api import WorkspaceStatus
from workspace_operator.claim_names import ClaimNames, Owner
from workspace_operator.cluster import Cluster, Gone, Manifest, find_all
from workspace_operator.cluster.kinds import NODE_CLAIM
from workspace_operator.objects.metadata import (
    WORKSPACE_LABEL,
    WORKSPACE_NAMESPACE_LABEL,
    Identity,
)
from workspace_operator.snapshot.reading import section, strings, text


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSearch:
    """Search for one Workspace at a time; None as an answer means that the kind is not served."""

    cluster: Cluster
    names: ClaimNames = field(default_factory=ClaimNames)

    async def enough(
        self, owner: Identity, status: WorkspaceStatus, wanted: int
    ) -> list[Manifest] | None:
        """Return all claims that are known of, and all there are where these are too few."""
        known = remembered(status) | {*self.names.of(_key(owner))}
        found = await find_all(self.cluster, NODE_CLAIM, known)
        for name in known - {_name(claim) for claim in found}:
            self.names.gone(_key(owner), name)
        if found and sum(_names_its_owner(owner, claim) for claim in found) >= wanted:
            return found
        listed = await self._list(owner, fresh=False)
        if listed is None:
            return None
        return [*found, *await find_all(self.cluster, NODE_CLAIM, listed.keys() - known)]

    async def every(self, owner: Identity, status: WorkspaceStatus) -> list[Manifest] | None:
        """Return all claims there are, and those that lost their labels but not their names."""
        listed = await self._list(owner, fresh=True)
        if listed is None:
            return None
        return [
            *listed.values(),
            *await find_all(self.cluster, NODE_CLAIM, remembered(status) - listed.keys()),
        ]

    async def _list(self, owner: Identity, *, fresh: bool) -> dict[str, Manifest] | None:
        labels = claim_selector(owner.namespace, owner.name)
        try:
            listed = await self.cluster.list(NODE_CLAIM, labels=labels, fresh=fresh)
        except Gone:
            return None
        return {_name(claim): claim for claim in listed}


def claim_selector(namespace: str, name: str) -> str:
    """Spell the label selector of a Workspace's NodeClaims."""
    return f"{WORKSPACE_LABEL}={name},{WORKSPACE_NAMESPACE_LABEL}={namespace}"


def remembered(status: WorkspaceStatus) -> set[str]:
    """Return the names of the claims that a status knows of."""
    return {attempt.claim for attempt in status.node_attempts if attempt.claim}


def _key(owner: Identity) -> Owner:
    return owner.namespace, owner.name


def _name(claim: Manifest) -> str:
    return text(section(claim, "metadata").get("name"))


def _names_its_owner(owner: Identity, claim: Manifest) -> bool:
    """Say whether a claim is labelled as ours are: no other takes a place among the wanted here."""
    labels = strings(section(claim, "metadata").get("labels"))
    return (labels.get(WORKSPACE_NAMESPACE_LABEL), labels.get(WORKSPACE_LABEL)) == _key(owner)
