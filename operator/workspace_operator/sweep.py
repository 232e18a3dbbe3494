"""
Find what no event told us, once a minute: the net below everything else.

A watch can lose a deletion for good, and a NodeClaim whose Workspace is gone has nobody left to
name it in an event: it is a GPU that burns money. Each sweep lists everything of ours, and wakes
the keys whose objects are not what they were at the sweep before, and the keys of claims
without Workspace.

A crowd is the worst time for it: all of it changes, and its events are coming in. So a sweep that
is due waits while many keys wait for a pass, half as long again at most.

Must not write: what it wakes is looked at freshly, and decided there.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

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
LOOKS_PER_PAUSE = 30
CHILDREN = (DEPLOYMENT, SERVICE, NETWORK_POLICY, JOB)
NOTHING: Manifest = {}  # what is kept of an object that has been looked at


@dataclass(slots=True, kw_only=True)
class Sweep:
    """Compare what the cluster holds with what it held a sweep ago."""

    cluster: Cluster
    add: Callable[[Key], None]
    show_claim: Callable[[Key, str], None] = lambda _owner, _name: None
    on_answer: Callable[[], None] = lambda: None
    show_claims: Callable[[Iterable[str], int], None] = lambda _steps, _orphans: None
    show_rivals: Callable[[int], None] = lambda _number: None
    is_crowded: Callable[[], bool] = lambda: False
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
            await self._pause(every_seconds)

    async def _pause(self, seconds: float) -> None:
        """Wait for the next sweep to be due, and half as long again at most in a crowd."""
        await asyncio.sleep(seconds)
        latest = asyncio.get_running_loop().time() + seconds / 2
        while self.is_crowded() and asyncio.get_running_loop().time() < latest:  # noqa: ASYNC110 - the queue tells nobody how long it is
            await asyncio.sleep(seconds / LOOKS_PER_PAUSE)

    async def once(self) -> None:
        """Look at everything once."""
        seen = _Seen(self.show_claim)
        # One kind after the other, and next to nothing kept: all of it would be much memory.
        await self.cluster.list(WORKSPACE, keep=seen.workspace)
        rivals = await self.cluster.list(DEPLOYMENT, labels=CONTROLLER_SELECTOR)
        unowned = filter(None, await self._owned(NODE_CLAIM, seen.claim))
        lost = [claim for claim in unowned if not await self._has_owner_by_now(claim)]
        orphans = {owner for claim in lost if (owner := owner_of(claim)) is not None}
        self.show_claims(seen.steps.elements(), len(lost))
        self._warn_of(list(filter(is_kaitos_controller, rivals)))
        for kind in CHILDREN:
            await self._owned(kind, seen.owned)
        now = seen.looks
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

    async def _owned(self, kind: Kind, keep: Callable[[Manifest], Manifest]) -> list[Manifest]:
        try:
            return await self.cluster.list(kind, labels=WORKSPACE_LABEL, keep=keep)
        except Gone:
            return []


@dataclass(slots=True)
class _Seen:
    """Collect what one sweep compares, while its lists come in: Workspaces first."""

    show_claim: Callable[[Key, str], None]
    looks: dict[Key, Look] = field(default_factory=dict)
    lives: set[str | None] = field(default_factory=lambda: {None})
    steps: Counter[str] = field(default_factory=Counter)

    def workspace(self, manifest: Manifest) -> Manifest:
        """Note a life, and keep nothing."""
        self.lives.add(manifest["metadata"]["uid"])
        self.looks[key_of(manifest)] = _look(manifest)
        return NOTHING

    def owned(self, manifest: Manifest) -> Manifest:
        """Add an object to the look of the Workspace that has it, and keep nothing."""
        owner = owner_of(manifest)
        if owner is not None and owner in self.looks:
            self.looks[owner] ^= _look(manifest)
        return NOTHING

    def claim(self, manifest: Manifest) -> Manifest:
        """Do the same with a claim, count it, and keep an outline where its Workspace is gone."""
        self.owned(manifest)
        self.steps[_step(manifest)] += 1
        owner = owner_of(manifest)
        if owner is not None:
            self.show_claim(owner, manifest["metadata"]["name"])
        return NOTHING if owner_uid(manifest) in self.lives else _outline(manifest)


def _outline(claim: Manifest) -> Manifest:
    """Return what is needed of a claim that may have lost its Workspace."""
    metadata = claim["metadata"]
    labels, annotations = (strings(metadata.get(key)) for key in ("labels", "annotations"))
    kept = {
        "name": metadata["name"],
        "labels": {key: labels[key] for key in OWNER_LABELS if key in labels},
        "annotations": {key: annotations[key] for key in (UID_ANNOTATION,) if key in annotations},
    }
    return {"metadata": kept}


def _step(claim: Manifest) -> str:
    """Name the last step that Karpenter reported of a claim."""
    parsed = NodeClaim.parse(claim)
    if parsed.deleting:
        return "Deleting"
    done = {name for name, condition in parsed.conditions.items() if condition.is_true}
    return next((step for step in reversed(CLAIM_STEPS) if step in done), "Requested")


def _look(manifest: Manifest) -> Look:
    """Return what changes when an object does: which one it is, in which version."""
    metadata = manifest["metadata"]
    return hash((metadata["uid"], metadata["resourceVersion"]))
