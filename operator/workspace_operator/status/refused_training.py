"""
Judge a tuning whose wish is refused: its Job goes on, or has ended, as it was before.

A Job is deleted only for another one that can be made, so what trains is left alone, and
docs/adr/0010 holds for it too: JobStarted and WorkspaceSucceeded speak of the Job that is there,
Ready and Stalled of the wish.

Must not import anything above `status`.
"""

from dataclasses import replace

from workspace_operator import conditions
from workspace_operator.api import WorkspaceStatus
from workspace_operator.snapshot import Snapshot
from workspace_operator.snapshot.jobs import Job
from workspace_operator.status.finding import Finding, holds, quoted
from workspace_operator.status.ladder import Ladder, Rung, with_sum
from workspace_operator.status.training import figures, figures_of, state_of

GOES_ON = "The tuning goes on as it was begun before that."
STANDS = "What was trained before that stands."


def refuse_training(
    before: WorkspaceStatus,
    below: tuple[Rung, ...],
    finding: Finding,
    job: Job,
    snapshot: Snapshot,
) -> Ladder:
    """
    Judge a tuning that has a Job.

    Args:
        before: Its present status.
        below: The rungs below the Job's.
        finding: What is wrong with the wish.
        job: What its Job says.
        snapshot: What the cluster holds.
    """
    if job.complete:
        started = holds(conditions.JOB_STATUS_STARTED, "the tuning has started")
        told = replace(finding, message=f"{finding.message} {STANDS}")
        rungs = (*below, (conditions.JOB_STARTED, started))
        return with_sum(rungs, None, told, achieved=True, withheld=told)
    if job.failure is not None:
        failed = Finding(
            verdict=conditions.FALSE,
            reason=conditions.JOB_STATUS_FAILED,
            message=_why_it_failed(before, job),
        )
        rungs = (*below, (conditions.JOB_STARTED, failed))
        return with_sum(rungs, finding, finding, achieved=False)
    told = replace(finding, message=f"{finding.message} {GOES_ON}")
    rungs = (*below, (conditions.JOB_STARTED, _started(snapshot)))
    ladder = with_sum(rungs, told, told, achieved=False)
    pending = Finding(
        verdict=conditions.FALSE, reason=conditions.PENDING, message="the training has not ended"
    )
    return replace(
        ladder,
        rungs=tuple(
            (kind, pending if kind == conditions.WORKSPACE_SUCCEEDED else rung)
            for kind, rung in ladder.rungs
        ),
    )


def with_training(
    status: WorkspaceStatus,
    ladder: Ladder,
    job: Job | None,
    before: WorkspaceStatus,
    snapshot: Snapshot,
) -> WorkspaceStatus:
    """Return the status of a refused wish with how far the Job of an earlier one is."""
    if job is None:
        return status
    now = figures_of(job, snapshot, before.tuning)
    changed = {"tuning": now, "progress": figures(now) or None, "state": state_of(ladder, before)}
    return status.model_copy(update=changed)


def _started(snapshot: Snapshot) -> Finding:
    """Judge a Job that has not ended by its pods."""
    if any(pod.running or pod.phase == "Succeeded" for pod in snapshot.current_pods):
        return holds(conditions.JOB_STATUS_STARTED, "the tuning has started")
    return Finding(
        verdict=conditions.FALSE,
        reason=conditions.JOB_STATUS_PENDING,
        message="no pod of the Job runs at present",
    )


def _why_it_failed(before: WorkspaceStatus, job: Job) -> str:
    """Return what was found out when it failed, which is more than the Job itself knows."""
    known = before.condition(conditions.JOB_STARTED)
    if known is not None and known.reason == conditions.JOB_STATUS_FAILED:
        return known.message
    return quoted(job.failure.message) if job.failure else ""
