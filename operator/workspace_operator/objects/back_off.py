"""
Say how long to wait before the next try to get a machine, and which machine to ask for then.

The wait is 30 s, 60 s, 120 s and so on to 15 minutes, give or take a fifth, so that a thousand
Workspaces do not return together: at most 10 tries an hour. Where the user listed instance types,
each refusal moves on to the next of them, and the last leads back to the first; a machine that was
there and got lost begins with the first again, the one that the user likes best.

Invariant: the same input gives the same answer, so every pass works out the same moment.
Must not import the other files of `objects`, but for metadata.
"""

import hashlib
from datetime import datetime, timedelta

from workspace_operator.api import NodeAttempt
from workspace_operator.objects.metadata import Identity, claim_name
from workspace_operator.plan import Plan

FIRST_DELAY_SECONDS = 30.0
LONGEST_DELAY_SECONDS = 900.0
JITTER = 0.2


def delay_seconds(owner: Identity, ordinal: int, attempt: int, failures: int) -> float:
    """Return how long to wait after this many failures in a row; a hash gives the jitter."""
    delay = min(FIRST_DELAY_SECONDS * 2.0 ** min(failures - 1, 16), LONGEST_DELAY_SECONDS)
    name = claim_name(owner, ordinal, attempt)
    share = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
    return delay * (1.0 - JITTER + 2.0 * JITTER * share)


def not_before(
    owner: Identity, ordinal: int, attempt: int, failures: int, failed_at: datetime
) -> datetime | None:
    """Return the earliest moment of a try, or None where nothing has failed."""
    if failures == 0:
        return None
    return failed_at + timedelta(seconds=delay_seconds(owner, ordinal, attempt, failures))


def types_to_ask_for(plan: Plan, record: NodeAttempt | None) -> tuple[str, ...]:
    """Return the instance types that the next claim names; the cloud picks one of several."""
    if not plan.in_order:
        return plan.candidates
    chosen = record.instance_type if record else None
    return (chosen if chosen in plan.candidates else plan.candidates[0],)


def type_after(plan: Plan, failed: NodeAttempt) -> str | None:
    """Return the instance type to try after this one failed; None where Karpenter chooses."""
    if not plan.in_order:
        return None
    types = plan.candidates
    if failed.ready_at is not None or failed.instance_type not in types:
        return types[0]
    return types[(types.index(failed.instance_type) + 1) % len(types)]
