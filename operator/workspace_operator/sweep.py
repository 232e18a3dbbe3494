"""
Find what no event told us, once a minute: the net below everything else.

A watch can lose a deletion for good, and a NodeClaim whose Workspace is gone has nobody left to
name it in an event: it is a GPU that burns money. Each sweep lists everything of ours, and wakes
the keys whose objects are not what they were at the sweep before, and the keys of claims
without Workspace.

Must not write: what it wakes is looked at freshly, and decided there.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from workspace_operator.cluster import Cluster, ClusterError, Forbidden, Gone, Kind, Manifest
from workspace_operator.cluster.kinds import (
    DEPLOYMENT,
    JOB,
    NETWORK_POLICY,
    NODE_CLAIM,
    SERVICE,
    WORKSPACE,
)
from workspace_operator.objects.left_by_kaito import CONTROLLER_SELECTOR, is_kaitos_controller
from workspace_operator.objects.metadata import (
    UID_ANNOTATION,
    WORKSPACE_LABEL,
    WORKSPACE_NAMESPACE_LABEL,
)
from workspace_operator.snapshot import CLAIM_STEPS, NodeClaim
from workspace_operator.snapshot.reading import strings
from workspace_operator.wake import Key, key_of, owner_of, owner_uid

logger = logging.getLogger(__name__)

# The versions of a Workspace's objects, as one number: only whether it changed counts, and as sets
# of names those of five thousand Workspaces were 9 MB, kept from sweep to sweep.
Look = int

OWNER_LABELS = (WORKSPACE_LABEL, WORKSPACE_NAMESPACE_LABEL)
STEP = "step"
CHILDREN = (DEPLOYMENT, SERVICE, NETWORK_POLICY, JOB)


@dataclass(slots=True, kw_only=True)
class Sweep:
    """Compare what the cluster holds with what it held a sweep ago."""

    cluster: Cluster
    add: Callable[[Key], None]
    show_claim: Callable[[Key, str], None] = lambda _owner, _name: None
    on_answer: Callable[[], None] = lambda: None
    show_claims: Callable[[Iterable[str], int], None] = lambda _steps, _orphans: None
    show_rivals: Callable[[int], None] = lambda _number: None
    _before: dict[Key, Look] | None = None

    async def run(self, every_seconds: float) -> None:
        """Sweep until cancelled; an API server that does not answer is asked next time."""
        while True:
            try:
                await self.once()
                self.on_answer()
            except ClusterError as error:
                logger.warning("sweep failed", extra={"error": str(error)})
                if isinstance(error, Forbidden):
                    self.on_answer()  # a right that is missing comes back by no restart
            await asyncio.sleep(every_seconds)

    async def once(self) -> None:
        """Look at everything once."""
        # One kind after the other, and of each object an outline: all of it would be much memory.
        workspaces = await self.cluster.list(WORKSPACE, keep=_outline)
        rivals = await self.cluster.list(DEPLOYMENT, labels=CONTROLLER_SELECTOR)
        claims = await self._owned(NODE_CLAIM)
        for claim in claims:
            if (owner := owner_of(claim)) is not None:
                self.show_claim(owner, claim["metadata"]["name"])
        living = {key_of(workspace) for workspace in workspaces}
        lives = {workspace["metadata"]["uid"] for workspace in workspaces}
        lost = [claim for claim in claims if owner_uid(claim) not in {None, *lives}]
        lost = [claim for claim in lost if not await self._has_owner_by_now(claim)]
        orphans = {owner for claim in lost if (owner := owner_of(claim)) is not None}
        self.show_claims((claim[STEP] for claim in claims), len(lost))
        self._warn_of(list(filter(is_kaitos_controller, rivals)))
        now = dict.fromkeys(living, 0)
        _look_at(workspaces, key_of, now)
        _look_at(claims, owner_of, now)
        for kind in CHILDREN:
            _look_at(await self._owned(kind), owner_of, now)
        # At the first sweep every key is new; the watches have just told of all of them.
        before = now if self._before is None else self._before
        changed = {key for key, look in now.items() if before.get(key) != look}
        for key in changed | orphans | (before.keys() - now.keys()):
            self.add(key)
        if orphans:
            names = sorted(map(str, orphans))
            logger.warning("node claims without workspace", extra={"keys": names})
        self._before = now

    async def _has_owner_by_now(self, claim: Manifest) -> bool:
        """Ask for one Workspace by name: it may have been made after the others were listed."""
        owner = owner_of(claim)
        if owner is None:
            return False
        found = await self.cluster.find(WORKSPACE, owner.name, owner.namespace)
        return found is not None and found["metadata"]["uid"] == owner_uid(claim)

    def _warn_of(self, rivals: list[Manifest]) -> None:
        """Name every controller of KAITO's that runs: it deletes the Deployments that we make."""
        self.show_rivals(len(rivals))
        for rival in rivals:
            metadata = rival["metadata"]
            name = f"{metadata.get('namespace')}/{metadata['name']}"
            logger.error("kaito runs beside us and deletes our models", extra={"deployment": name})

    async def _owned(self, kind: Kind) -> list[Manifest]:
        try:
            return await self.cluster.list(kind, labels=WORKSPACE_LABEL, keep=_outline)
        except Gone:
            return []


def _outline(manifest: Manifest) -> Manifest:
    """Return what a sweep compares, and of a claim how far it is."""
    metadata = manifest["metadata"]
    labels, annotations = (strings(metadata.get(key)) for key in ("labels", "annotations"))
    kept = {
        **{
            key: metadata[key]
            for key in ("name", "namespace", "uid", "resourceVersion")
            if key in metadata
        },
        "labels": {key: labels[key] for key in OWNER_LABELS if key in labels},
        "annotations": {key: annotations[key] for key in (UID_ANNOTATION,) if key in annotations},
    }
    step = _step(manifest) if manifest["kind"] == NODE_CLAIM.kind else ""
    return {"metadata": kept, STEP: step}


def _step(claim: Manifest) -> str:
    """Name the last step that Karpenter reported of a claim."""
    parsed = NodeClaim.parse(claim)
    if parsed.deleting:
        return "Deleting"
    done = {name for name, condition in parsed.conditions.items() if condition.is_true}
    return next((step for step in reversed(CLAIM_STEPS) if step in done), "Requested")


def _look_at(
    manifests: Iterable[Manifest], name: Callable[[Manifest], Key | None], now: dict[Key, Look]
) -> None:
    """Add objects to the looks of those who live: which ones they are, in which version."""
    for manifest in manifests:
        key = name(manifest)
        if key is not None and key in now:
            metadata = manifest["metadata"]
            now[key] ^= hash((metadata["uid"], metadata["resourceVersion"]))
