"""
Compare what should exist with what does: what to apply, and what to delete.

A live object carries more than was asked for: defaults of the API server, fields of other writers,
quantities spelt another way. So it is right when every leaf that we want is there with our value,
and when it carries the hash of what we wanted last, which notices a field that we no longer want.
Only an object that is missing or wrong is applied, so a pass without a change writes nothing.

Nothing is ever taken over or deleted that is not ours: an object with our child's name and another
owner is a `NameConflict`, for the user to resolve. What KAITO made for this very Workspace is ours,
and is replaced whole: see `objects.left_by_kaito`.

Must not import status or anything above it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from workspace_operator.api import Workspace
from workspace_operator.likeness import covers
from workspace_operator.objects.left_by_kaito import made_by_kaito
from workspace_operator.objects.metadata import (
    DESIRED_HASH_ANNOTATION,
    Identity,
    identity_of,
    is_ours,
)
from workspace_operator.objects.network_policy import API_VERSION as POLICY_API_VERSION
from workspace_operator.objects.network_policy import KIND as POLICY_KIND
from workspace_operator.objects.node_claim import API_VERSION as CLAIM_API_VERSION
from workspace_operator.objects.node_claim import KIND as CLAIM_KIND
from workspace_operator.objects.slots import owned_claims, slots
from workspace_operator.objects.tuning_job import API_VERSION as JOB_API_VERSION
from workspace_operator.objects.tuning_job import KIND as JOB_KIND
from workspace_operator.objects.tuning_job import gives_nodes_back, is_asked_for
from workspace_operator.plan import Plan, plan_only
from workspace_operator.settings import NodeProvisioner
from workspace_operator.snapshot import Manifest, NodeClaim, Snapshot
from workspace_operator.snapshot.reading import section, strings, text


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectReference:
    """Point at one object, and at no other that may get its name later."""

    kind: str
    api_version: str
    namespace: str | None
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NameConflict:
    """Name an object that stands in the way: it has our child's name and is not ours."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Hold what a pass has to write, in order: deletions after applications."""

    apply: tuple[Manifest, ...] = ()
    delete: tuple[ObjectReference, ...] = ()
    conflicts: tuple[NameConflict, ...] = ()

    def __bool__(self) -> bool:
        """Say whether there is anything to write."""
        return bool(self.apply or self.delete)


def changes(
    workspace: Workspace,
    plan: Plan,
    desired: Collection[Manifest],
    snapshot: Snapshot,
    now: datetime,
) -> Changes:
    """Return what is to be written so that the cluster holds what is desired."""
    found = conflicts(identity_of(workspace), snapshot)
    replaced = _left_by_kaito(identity_of(workspace), snapshot)
    blocked = {(each.kind, each.name) for each in found}
    blocked |= {(each.kind, each.name) for each in replaced}
    return Changes(
        apply=tuple(
            manifest
            for manifest in desired
            if _key(manifest) not in blocked and not _is_right(manifest, snapshot)
        ),
        delete=(
            *map(_claim_reference, _unwanted_claims(workspace, plan, snapshot, now)),
            *replaced,
            *_unwanted_job(identity_of(workspace), plan, snapshot),
            *_unwanted_policy(identity_of(workspace), desired, snapshot),
        ),
        conflicts=found,
    )


def waits_for_consent(workspace: Workspace, snapshot: Snapshot) -> bool:
    """
    Say whether the user wants the plan only, and nothing was made before.

    What runs is not left to itself by an annotation: then it has no effect.
    """
    owner = identity_of(workspace)
    children = any(is_ours(owner, live) for live in _children(snapshot))
    return plan_only(workspace) and not children and not owned_claims(owner, snapshot)


def deletion_changes(owner: Identity, snapshot: Snapshot) -> Changes:
    """
    Return what is left to delete for a Workspace that is going.

    The workload goes at the same time as the machines: it would not survive them. Deployment and
    Service have an owner too, but a deletion that orphans must not leave a pod on a GPU.
    """
    children = [
        _reference(live)
        for live in _children(snapshot)
        if is_ours(owner, live) and not section(live, "metadata").get("deletionTimestamp")
    ]
    claims = [
        _claim_reference(claim) for claim in owned_claims(owner, snapshot) if not claim.deleting
    ]
    return Changes(delete=(*claims, *children))


def may_release(owner: Identity, snapshot: Snapshot) -> bool:
    """Say whether every machine of a Workspace is gone, so that its finalizer may go."""
    return not owned_claims(owner, snapshot)


def conflicts(owner: Identity, snapshot: Snapshot) -> tuple[NameConflict, ...]:
    """Return the objects that have a name of ours and another owner."""
    return tuple(
        NameConflict(kind=text(live.get("kind")), name=text(section(live, "metadata").get("name")))
        for live in _children(snapshot)
        if not is_ours(owner, live)
    )


def _unwanted_claims(
    workspace: Workspace, plan: Plan, snapshot: Snapshot, now: datetime
) -> tuple[NodeClaim, ...]:
    if plan.provisioner is NodeProvisioner.BYO:
        return ()  # the operator was told to leave machines alone, also those of another time
    if gives_nodes_back(workspace, plan, snapshot):
        owned = owned_claims(identity_of(workspace), snapshot)
        return tuple(claim for claim in owned if not claim.deleting)
    return slots(workspace, plan, snapshot, now).unwanted


def _unwanted_job(owner: Identity, plan: Plan, snapshot: Snapshot) -> tuple[ObjectReference, ...]:
    """Return a Job that does something else than what is asked for now; it cannot be changed."""
    live = snapshot.job
    if live is None or not is_ours(owner, live) or is_asked_for(plan, live):
        return ()
    if section(live, "metadata").get("deletionTimestamp"):
        return ()
    return (_reference({"kind": JOB_KIND, "apiVersion": JOB_API_VERSION, **live}),)


def _unwanted_policy(
    owner: Identity, desired: Collection[Manifest], snapshot: Snapshot
) -> tuple[ObjectReference, ...]:
    """Return the NetworkPolicy where the administrator wants none any more; it would go on."""
    live = snapshot.network_policy
    if live is None or not is_ours(owner, live):
        return ()
    going = section(live, "metadata").get("deletionTimestamp")
    if going or any(each.get("kind") == POLICY_KIND for each in desired):
        return ()
    return (_reference({"kind": POLICY_KIND, "apiVersion": POLICY_API_VERSION, **live}),)


def _left_by_kaito(owner: Identity, snapshot: Snapshot) -> tuple[ObjectReference, ...]:
    """Return what is ours by its owner and KAITO's by its fields: it goes, ours comes next."""
    return tuple(
        _reference(live)
        for live in _children(snapshot)
        if is_ours(owner, live) and made_by_kaito(live)
    )


def _is_right(wanted: Manifest, snapshot: Snapshot) -> bool:
    live = live_object(wanted, snapshot)
    if live is None:
        return False
    if wanted.get("kind") == JOB_KIND:
        return True  # nothing of it may change: it stays, or it is deleted
    if wanted.get("kind") == POLICY_KIND and wanted.get("spec") != live.get("spec"):
        return False  # a rule that somebody added opens what ours closes
    return was_made_so(wanted, live) and covers(wanted, live)


def was_made_so(wanted: Manifest, live: Manifest) -> bool:
    """Say whether an object has held exactly this wish before: if not now, somebody changed it."""
    marked = strings(section(wanted, "metadata", "annotations")).get(DESIRED_HASH_ANNOTATION)
    held = strings(section(live, "metadata", "annotations")).get(DESIRED_HASH_ANNOTATION)
    return marked is not None and marked == held


def live_object(wanted: Manifest, snapshot: Snapshot) -> Manifest | None:
    """Return the object that stands where a wanted one belongs."""
    name = text(section(wanted, "metadata").get("name"))
    if wanted.get("kind") == CLAIM_KIND:
        return snapshot.live_claims.get(name)
    for live in _children(snapshot):
        if _key(live) == _key(wanted):
            return live
    return None


def _children(snapshot: Snapshot) -> tuple[Manifest, ...]:
    kinds = (
        ("Deployment", "apps/v1", snapshot.deployment),
        ("Service", "v1", snapshot.service),
        (POLICY_KIND, POLICY_API_VERSION, snapshot.network_policy),
        (JOB_KIND, JOB_API_VERSION, snapshot.job),
    )
    # The items of a list carry neither kind nor version.
    return tuple(
        {"kind": kind, "apiVersion": version, **live} for kind, version, live in kinds if live
    )


def _key(manifest: Manifest) -> tuple[str, str]:
    return text(manifest.get("kind")), text(section(manifest, "metadata").get("name"))


def _reference(live: Manifest) -> ObjectReference:
    metadata = section(live, "metadata")
    return ObjectReference(
        kind=text(live.get("kind")),
        api_version=text(live.get("apiVersion")),
        namespace=text(metadata.get("namespace")) or None,
        name=text(metadata.get("name")),
        uid=text(metadata.get("uid")),
    )


def _claim_reference(claim: NodeClaim) -> ObjectReference:
    return ObjectReference(
        kind=CLAIM_KIND,
        api_version=CLAIM_API_VERSION,
        namespace=None,
        name=claim.name,
        uid=claim.uid,
    )
