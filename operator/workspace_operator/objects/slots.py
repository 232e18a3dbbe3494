"""
Keep count of the machines of a Workspace, and of the tries to get each of them.

Karpenter deletes a claim by itself when the cloud has no machine, within a second or after minutes,
so "the claim is missing" must not lead straight to another one: that loop costs money and buries
the reason. Each node of a Workspace is a slot with an ordinal. Its status remembers the claim that
was asked for; it is written after the claim, and claims are read from a quorum, so a remembered
claim that is not there has gone: a failed try, and the next one waits (`back_off`).

Invariants: claims of a Workspace, dying ones and those of a namesake included, never exceed its
count through a decision made here; the same input gives the same names, so a crash repeats a write
instead of adding one.
Must not import the other kinds of `objects`, but for metadata, back_off, scale_down
and watchdog.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from workspace_operator.api import NodeAttempt, Workspace
from workspace_operator.objects.back_off import not_before, type_after, types_to_ask_for
from workspace_operator.objects.metadata import (
    MANAGED_BY,
    ORDINAL_ANNOTATION,
    UID_ANNOTATION,
    WORKSPACE_LABEL,
    WORKSPACE_NAMESPACE_LABEL,
    Identity,
    claim_name,
    identity_of,
)
from workspace_operator.objects.scale_down import split
from workspace_operator.objects.watchdog import Broken, broken, gpu_failures, may_replace
from workspace_operator.plan import Plan
from workspace_operator.snapshot import NodeClaim, Snapshot

# A claim that was asked for in one pass is seen in the next; the status keeps whole seconds.
SETTLE_SECONDS = 1.0

# How far the names of a claim without labels are compared: a millisecond of work, and rare.
NAMED_ORDINALS = 16
NAMED_ATTEMPTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """
    Hold the state of one node of a Workspace.

    Attributes:
        ordinal: Which node.
        attempt: Number of the present try; part of its claim's name.
        failures: How many tries have failed in a row.
        instance_types: What a claim that is asked for now names.
        claim: The claim that stands for it now, also a dying one.
        asked: Name of a claim that was asked for in this very second.
        not_before: When the next try may be made, where no claim stands and none was asked for.
        record: What the status remembers.
        broken: What is wrong with its machine, if it is of no use.
        blocked: Whether none can be asked for, whatever the time.
        taken: Name of the claim of somebody else that blocks it.
    """

    ordinal: int
    attempt: int
    failures: int = 0
    instance_types: tuple[str, ...] = ()
    claim: NodeClaim | None = None
    asked: str = ""
    not_before: datetime | None = None
    record: NodeAttempt | None = None
    broken: Broken | None = None
    blocked: bool = False
    taken: str = ""

    @property
    def given_back(self) -> bool:
        """Say whether the machine is so broken that the claim is deleted, by us or anybody."""
        if self.claim is None or self.broken is None:
            return False
        return self.claim.deleting or may_replace(self.claim, self.record)

    def due(self, now: datetime) -> bool:
        """Say whether a claim should be asked for now."""
        if self.claim is not None or self.asked or self.blocked:
            return False
        return self.not_before is None or self.not_before <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """
    Hold all slots of a Workspace and the claims that it has beyond them.

    Attributes:
        slots: One per node of the plan, in the order of their ordinals.
        surplus: Claims to delete: beyond the count, and of an earlier Workspace of the same name.
    """

    slots: tuple[Slot, ...]
    surplus: tuple[NodeClaim, ...]

    @property
    def unwanted(self) -> tuple[NodeClaim, ...]:
        """Return the claims to delete: those beyond the count, and those of broken machines."""
        useless = (slot.claim for slot in self.slots if slot.claim and slot.given_back)
        return (*self.surplus, *(claim for claim in useless if not claim.deleting))


def owned_claims(owner: Identity, snapshot: Snapshot) -> tuple[NodeClaim, ...]:
    """Return the claims that carry a Workspace's labels or UID, of whichever generation."""
    return tuple(claim for claim in snapshot.claims if _belongs(owner, claim))


def slots(workspace: Workspace, plan: Plan, snapshot: Snapshot, now: datetime) -> Slots:
    """Match the claims that exist with the nodes that are wanted."""
    owner, count = identity_of(workspace), plan.node_count
    now = now.replace(microsecond=0)  # the status keeps whole seconds: both must agree
    records = {
        record.ordinal: _with_last_words(record, snapshot)
        for record in workspace.status.node_attempts
    }
    owned = owned_claims(owner, snapshot)
    stale = tuple(claim for claim in owned if _is_of_namesake(owner, claim))
    by_ordinal = _by_ordinal(
        [claim for claim in owned if claim not in stale], {r.claim: r for r in records.values()}
    )
    kept, surplus = split(by_ordinal, count, snapshot)
    free = max(0, count - len(by_ordinal) - len(stale))
    missing = [ordinal for ordinal in range(count + len(by_ordinal)) if ordinal not in by_ordinal]
    failures = gpu_failures(workspace.status, snapshot, now)
    filled = [
        _filled_slot(
            ordinal,
            by_ordinal[ordinal],
            records.get(ordinal),
            broken(by_ordinal[ordinal], plan, snapshot, failures, now),
        )
        for ordinal in kept
    ]
    empty = [_empty_slot(owner, n, records.get(n), plan, snapshot, now) for n in missing[:free]]
    return Slots(
        slots=tuple(sorted([*filled, *empty], key=lambda slot: slot.ordinal)),
        surplus=tuple(claim for claim in (*surplus, *stale) if not claim.deleting),
    )


def _with_last_words(record: NodeAttempt, snapshot: Snapshot) -> NodeAttempt:
    """Add what its claim complained of, which may have been gone before a pass could read it."""
    words = snapshot.last_words.get(record.claim or record.last_claim or "")
    if words is None or record.ready_at is not None or record.given_back:
        return record
    return record.model_copy(update={"reason": words.reason or None, "message": words.message})


def _filled_slot(
    ordinal: int, claim: NodeClaim, record: NodeAttempt | None, fault: Broken | None
) -> Slot:
    return Slot(
        ordinal=ordinal,
        attempt=record.attempt if record else 0,
        failures=record.failures if record else 0,
        claim=claim,
        record=record,
        broken=fault,
    )


def _empty_slot(
    owner: Identity,
    ordinal: int,
    record: NodeAttempt | None,
    plan: Plan,
    snapshot: Snapshot,
    now: datetime,
) -> Slot:
    blocked = _blocked_slot(owner, ordinal, record, snapshot)
    if blocked is not None:
        return blocked
    if record is None:
        return Slot(ordinal=ordinal, attempt=0, instance_types=types_to_ask_for(plan, None))
    if record.claim and record.time and now < record.time + timedelta(seconds=SETTLE_SECONDS):
        asked = record.claim
        attempt, failures = record.attempt, record.failures
        return Slot(ordinal=ordinal, attempt=attempt, failures=failures, asked=asked, record=record)
    if record.claim is None:
        when = record.time  # without one, nobody knows how long it was: try now
        attempt, failures = record.attempt, record.failures
        following = record
    else:
        replaced = record.claim in record.given_back  # one of these is bought at once
        when, attempt = now, record.attempt + 1
        failures = record.failures if replaced else record.failures + 1
        following = record.model_copy(update={"instance_type": type_after(plan, record)})
    return Slot(
        ordinal=ordinal,
        attempt=attempt,
        failures=failures,
        instance_types=types_to_ask_for(plan, following),
        not_before=not_before(owner, ordinal, attempt, failures, when) if when else None,
        record=record,
    )


def _blocked_slot(
    owner: Identity, ordinal: int, record: NodeAttempt | None, snapshot: Snapshot
) -> Slot | None:
    """
    Return the slot if no claim can be made for it, which is no failed try of the cloud's.

    Either the cluster does not know NodeClaims, or one of somebody else has the name. That one is
    not ours to delete, and a way round it would hide that something takes names that only we can
    know.
    """
    attempt, failures = (record.attempt, record.failures) if record else (0, 0)
    name = claim_name(owner, ordinal, attempt)
    taken = any(claim.name == name and not _belongs(owner, claim) for claim in snapshot.claims)
    if snapshot.claims_served and not taken:
        return None
    return Slot(
        ordinal=ordinal,
        attempt=attempt,
        failures=failures,
        record=record,
        blocked=True,
        taken=name if taken else "",
    )


def _belongs(owner: Identity, claim: NodeClaim) -> bool:
    if claim.annotations.get(UID_ANNOTATION) == owner.uid:
        return True
    return (
        claim.labels.get(WORKSPACE_LABEL) == owner.name
        and claim.labels.get(WORKSPACE_NAMESPACE_LABEL) == owner.namespace
    ) or _has_our_name(owner, claim)


def _has_our_name(owner: Identity, claim: NodeClaim) -> bool:
    """
    Say whether a claim that lost labels and annotations was made for this very Workspace.

    Its name is a hash over the Workspace's uid, so nobody else's claim has it by chance. Who gives
    it on purpose did not write as we do, and the API server keeps who wrote.
    """
    if claim.writers and MANAGED_BY not in claim.writers:
        return False
    return any(
        claim.name == claim_name(owner, ordinal, attempt)
        for ordinal in range(NAMED_ORDINALS)
        for attempt in range(NAMED_ATTEMPTS)
    )


def _is_of_namesake(owner: Identity, claim: NodeClaim) -> bool:
    """Say whether a claim was made for an earlier Workspace of this name; others are adopted."""
    return claim.annotations.get(UID_ANNOTATION, owner.uid) != owner.uid


def _by_ordinal(
    claims: list[NodeClaim], remembered: dict[str | None, NodeAttempt]
) -> dict[int, NodeClaim]:
    """Give every claim an ordinal: its own, the remembered one, else the lowest that is free."""
    placed: dict[int, NodeClaim] = {}
    homeless = []
    for claim in claims:
        ordinal = _ordinal(claim, remembered)
        if ordinal is None or ordinal in placed:
            homeless.append(claim)
        else:
            placed[ordinal] = claim
    for claim in homeless:
        placed[next(free for free in range(len(claims) + 1) if free not in placed)] = claim
    return placed


def _ordinal(claim: NodeClaim, remembered: dict[str | None, NodeAttempt]) -> int | None:
    written = claim.annotations.get(ORDINAL_ANNOTATION, "")
    if written.isascii() and written.isdigit():
        return int(written)
    record = remembered.get(claim.name)
    return record.ordinal if record else None
