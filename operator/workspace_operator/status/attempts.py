"""
Write down the tries to get each node, so that the next pass knows that there was one.

A NodeClaim may be gone a second after it was made, with the reason on it. So the name is remembered
as soon as it is asked for, the reason as soon as it is seen, and both outlive the claim.

Must not import checks or the ladder.
"""

from datetime import datetime, timedelta

from workspace_operator.api import NodeAttempt
from workspace_operator.objects.metadata import claim_name, identity_of
from workspace_operator.objects.slots import Slot
from workspace_operator.objects.watchdog import HEALED_AFTER
from workspace_operator.snapshot import NodeClaim
from workspace_operator.status import node_reasons, reasons
from workspace_operator.status.evidence import Evidence
from workspace_operator.status.finding import quoted

# A machine that is lost sooner has not ended the row of failures: else one that comes and goes
# would be bought again twice a minute.
LASTING = timedelta(minutes=10)


def node_attempts(evidence: Evidence, fault: str = "") -> tuple[NodeAttempt, ...]:
    """
    Return one record per slot.

    A refused write may or may not have been a claim's, so the try counts either way, and its reason
    is the refusal: asking for machines too rarely is the cheaper mistake.
    """
    records = (_record(evidence, slot, fault) for slot in evidence.slots.slots)
    return tuple(record for record in records if record is not None)


def next_attempt_at(attempts: tuple[NodeAttempt, ...]) -> datetime | None:
    """Return when the first of the waiting slots may try again."""
    return min(
        (each.next_attempt_at for each in attempts if each.next_attempt_at is not None),
        default=None,
    )


def _record(evidence: Evidence, slot: Slot, fault: str) -> NodeAttempt | None:
    if slot.claim is not None:
        return _standing(slot, slot.claim, evidence.now)
    record = slot.record
    if slot.blocked or (slot.asked and record is not None):
        return record
    if slot.due(evidence.now):
        return NodeAttempt(
            ordinal=slot.ordinal,
            attempt=slot.attempt,
            failures=slot.failures,
            claim=claim_name(identity_of(evidence.workspace), slot.ordinal, slot.attempt),
            instance_type=_one(slot.instance_types),
            reason=reasons.FAULT.word if fault else record and record.reason,
            message=quoted(fault) if fault else record and record.message,
            time=evidence.now,
            given_back=record.given_back if record else (),
        )
    if record is not None and record.claim is None:
        return record
    return _failed(slot, record, evidence.now)


def _standing(slot: Slot, claim: NodeClaim, now: datetime) -> NodeAttempt:
    record = slot.record
    known = record if record is not None and record.claim == claim.name else None
    reason, message = (record.reason, record.message) if record else (None, None)
    obstacle = claim.obstacle
    if slot.broken is not None:
        reason, message = slot.broken.word, quoted(slot.broken.why)
    elif claim.ready:
        reason = message = None
    elif obstacle is not None and obstacle.message and not claim.deleting:
        reason, message = obstacle.reason or None, quoted(obstacle.message)
    ready_at = (known.ready_at if known else None) or (_ready_since(claim, now))
    return NodeAttempt(
        ordinal=slot.ordinal,
        attempt=slot.attempt,
        failures=0 if _lasts(claim, ready_at, now) else slot.failures,
        claim=claim.name,
        instance_type=claim.instance_type or (known.instance_type if known else None),
        reason=reason,
        message=message,
        time=(known.time if known else None) or claim.created or now,
        ready_at=ready_at,
        given_back=_given_back(slot, claim, ready_at, now),
    )


def _given_back(
    slot: Slot, claim: NodeClaim, ready_at: datetime | None, now: datetime
) -> tuple[str, ...]:
    """Return the row of broken machines, which an hour of health ends."""
    before = slot.record.given_back if slot.record else ()
    if slot.given_back:
        return before if claim.name in before else (*before, claim.name)
    well = slot.broken is None and claim.ready and not claim.deleting
    return () if well and ready_at is not None and now - ready_at >= HEALED_AFTER else before


def _ready_since(claim: NodeClaim, now: datetime) -> datetime | None:
    if not claim.ready:
        return None
    ready = claim.conditions.get("Ready")
    return (ready.since if ready else None) or now


def _lasts(claim: NodeClaim, ready_at: datetime | None, now: datetime) -> bool:
    """Say whether a machine has been there for so long that its loss would be another story."""
    return claim.ready and ready_at is not None and now - ready_at >= LASTING


def _failed(slot: Slot, record: NodeAttempt | None, now: datetime) -> NodeAttempt:
    claim = (record.claim if record else None) or "of the last try"
    return NodeAttempt(
        ordinal=slot.ordinal,
        attempt=slot.attempt,
        failures=slot.failures,
        last_claim=record.claim if record else None,
        instance_type=_one(slot.instance_types),
        reason=(record.reason if record else None) or node_reasons.CLAIM_GONE.word,
        message=(quoted(record.message) if record and record.message else None)
        or node_reasons.CLAIM_GONE.found(claim=claim).message,
        time=now,
        next_attempt_at=slot.not_before,
        given_back=record.given_back if record else (),
    )


def _one(types: tuple[str, ...]) -> str | None:
    """Return the type that is asked for, where it is a single one."""
    return types[0] if len(types) == 1 else None
