"""
Keep count of the machines of a Workspace, and of the tries to get each of them.

Karpenter deletes a claim by itself when the cloud has no machine, within a second or after minutes,
so "the claim is missing" must not lead straight to another one: that loop costs money and buries
the reason. Each node of a Workspace is a slot with an ordinal. Its status remembers the claim that
was asked for; a remembered claim that is gone is a failed try, and the next one waits 30 s, 60 s,
120 s and so on to 15 minutes, give or take a fifth, so that a thousand Workspaces do not return
together.

Invariants: claims of a Workspace, dying ones and those of a namesake included, never exceed its
count through a decision made here; the same input gives the same names, so a crash repeats a write
instead of adding one.
Must not import the other kinds of `objects`, but for metadata.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from workspace_operator.api import NodeAttempt, Workspace
from workspace_operator.objects.metadata import (
    ORDINAL_ANNOTATION,
    UID_ANNOTATION,
    WORKSPACE_LABEL,
    WORKSPACE_NAMESPACE_LABEL,
    Identity,
    claim_name,
    identity_of,
)
from workspace_operator.snapshot import NodeClaim, Snapshot

FIRST_DELAY_SECONDS = 30.0
LONGEST_DELAY_SECONDS = 900.0
JITTER = 0.2

# A claim that was asked for in one pass is seen in the next; only after this is it called gone.
SETTLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """
    Hold the state of one node of a Workspace.

    Attributes:
        ordinal: Which node.
        attempt: How many tries have failed.
        claim: The claim that stands for it now, also a dying one.
        asked: Name of a claim that was asked for and has not been seen yet.
        not_before: When the next try may be made, where no claim stands and none was asked for.
        record: What the status remembers.
    """

    ordinal: int
    attempt: int
    claim: NodeClaim | None = None
    asked: str = ""
    not_before: datetime | None = None
    record: NodeAttempt | None = None

    def due(self, now: datetime) -> bool:
        """Say whether a claim should be asked for now."""
        if self.claim is not None or self.asked:
            return False
        return self.not_before is None or self.not_before <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """
    Hold all slots of a Workspace and the claims that it has beyond them.

    Attributes:
        slots: One per node of the plan, in the order of their ordinals.
        surplus: Claims beyond the count, and those of an earlier Workspace of the same name.
    """

    slots: tuple[Slot, ...]
    surplus: tuple[NodeClaim, ...]


def owned_claims(owner: Identity, snapshot: Snapshot) -> tuple[NodeClaim, ...]:
    """Return the claims that carry a Workspace's labels or UID, of whichever generation."""
    return tuple(claim for claim in snapshot.claims if _belongs(owner, claim))


def slots(workspace: Workspace, count: int, snapshot: Snapshot, now: datetime) -> Slots:
    """Match the claims that exist with the nodes that are wanted."""
    owner = identity_of(workspace)
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
    kept = sorted(by_ordinal, key=lambda ordinal: _worth(ordinal, by_ordinal[ordinal]))[:count]
    surplus = tuple(claim for ordinal, claim in by_ordinal.items() if ordinal not in kept)
    free = max(0, count - len(kept) - sum(1 for _ in (*surplus, *stale)))
    missing = [ordinal for ordinal in range(count + len(by_ordinal)) if ordinal not in by_ordinal]
    filled = [
        Slot(
            ordinal=ordinal,
            attempt=_attempt(records.get(ordinal)),
            claim=by_ordinal[ordinal],
            record=records.get(ordinal),
        )
        for ordinal in kept
    ]
    empty = [_empty_slot(owner, ordinal, records.get(ordinal), now) for ordinal in missing[:free]]
    return Slots(
        slots=tuple(sorted([*filled, *empty], key=lambda slot: slot.ordinal)),
        surplus=tuple(claim for claim in (*surplus, *stale) if not claim.deleting),
    )


def delay_seconds(owner: Identity, ordinal: int, attempt: int) -> float:
    """
    Return how long to wait after this many failed tries.

    The jitter comes from a hash, so that every pass works out the same moment.
    """
    delay = min(FIRST_DELAY_SECONDS * 2.0 ** min(attempt - 1, 16), LONGEST_DELAY_SECONDS)
    name = claim_name(owner, ordinal, attempt)
    share = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
    return delay * (1.0 - JITTER + 2.0 * JITTER * share)


def _with_last_words(record: NodeAttempt, snapshot: Snapshot) -> NodeAttempt:
    """Add what its claim complained of, which may have been gone before a pass could read it."""
    words = snapshot.last_words.get(record.claim or "")
    if words is None:
        return record
    return record.model_copy(update={"reason": words.reason or None, "message": words.message})


def _empty_slot(owner: Identity, ordinal: int, record: NodeAttempt | None, now: datetime) -> Slot:
    if record is None:
        return Slot(ordinal=ordinal, attempt=0)
    if record.claim is None:
        when = record.time  # without one, nobody knows how long it was: try now
        return Slot(
            ordinal=ordinal,
            attempt=record.attempt,
            not_before=_not_before(owner, ordinal, record.attempt, when) if when else None,
            record=record,
        )
    if record.time is not None and now < record.time + timedelta(seconds=SETTLE_SECONDS):
        return Slot(ordinal=ordinal, attempt=record.attempt, asked=record.claim, record=record)
    attempt = record.attempt + 1
    return Slot(
        ordinal=ordinal,
        attempt=attempt,
        not_before=_not_before(owner, ordinal, attempt, now),
        record=record,
    )


def _not_before(
    owner: Identity, ordinal: int, attempt: int, failed_at: datetime
) -> datetime | None:
    if attempt == 0:
        return None
    return failed_at + timedelta(seconds=delay_seconds(owner, ordinal, attempt))


def _attempt(record: NodeAttempt | None) -> int:
    return record.attempt if record else 0


def _belongs(owner: Identity, claim: NodeClaim) -> bool:
    if claim.annotations.get(UID_ANNOTATION) == owner.uid:
        return True
    return (
        claim.labels.get(WORKSPACE_LABEL) == owner.name
        and claim.labels.get(WORKSPACE_NAMESPACE_LABEL) == owner.namespace
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


def _worth(ordinal: int, claim: NodeClaim) -> tuple[bool, bool, int]:
    """Order claims by how much is lost with them: living and ready ones first."""
    return (claim.deleting, not claim.ready, ordinal)
