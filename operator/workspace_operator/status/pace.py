"""
Say when to look at a Workspace again where no event would say so.

Must not import checks or the ladder.
"""

from datetime import datetime

from workspace_operator import conditions
from workspace_operator.api import WorkspaceStatus
from workspace_operator.objects.slots import SETTLE_SECONDS
from workspace_operator.settings import Settings
from workspace_operator.status.attempts import next_attempt_at
from workspace_operator.status.training import PHASES_AT_WORK

READY_PHASE = "Ready"
# While a server makes progress the user watches: look often.
WATCHED_PHASES = frozenset({"StartingServer", "LoadingWeights", "WarmingUp", "Probing"})
WATCHED_SECONDS = 2.0
# Weights on their way take minutes, and each look is a write.
FETCHING_PHASE = "FetchingWeights"
SOONEST_SECONDS = 0.5
# A training is asked as often as that (training_probe), and each answer is a write.
INTERVAL_SECONDS = 5.0
# What is wrong with a ConfigMap, whose correction no event tells: look often.
CONFIG_REASONS = "Config"
CONFIG_SECONDS = 10.0


def requeue_after_seconds(status: WorkspaceStatus, now: datetime, settings: Settings) -> float:
    """Return when to look again where no event would say so."""
    longest = float(settings.resync_seconds)
    if status.phase == READY_PHASE or _serves(status):
        longest = float(settings.probe_interval_seconds)
    elif status.phase in WATCHED_PHASES:
        longest = WATCHED_SECONDS
    elif status.phase in {*PHASES_AT_WORK, FETCHING_PHASE} or _trains(status):
        longest = INTERVAL_SECONDS
    fits = status.condition(conditions.PLAN_FITS)
    if fits is not None and fits.reason.startswith(CONFIG_REASONS):
        longest = min(longest, CONFIG_SECONDS)
    due = next_attempt_at(status.node_attempts)
    if due is not None:
        longest = min(longest, (due - now).total_seconds())
    for attempt in status.node_attempts:
        # A claim that was asked for and is gone shows as such when it had time to be seen.
        if attempt.claim is not None and attempt.time is not None:
            settles = SETTLE_SECONDS - (now - attempt.time).total_seconds()
            longest = min(longest, settles) if settles > 0 else longest
    return max(SOONEST_SECONDS, longest)


def _trains(status: WorkspaceStatus) -> bool:
    """Say whether a program trains, whatever else is wrong: it is to be asked how far it is."""
    return status.state == conditions.STATE_RUNNING and _is_true(status, conditions.JOB_STARTED)


def _serves(status: WorkspaceStatus) -> bool:
    """Say whether a model answers, whatever else is wrong: it is to be asked for a token again."""
    return _is_true(status, conditions.INFERENCE_READY)


def _is_true(status: WorkspaceStatus, kind: str) -> bool:
    found = status.condition(kind)
    return found is not None and found.status == conditions.TRUE
