"""
Judge a tuning: climb its ladder, and report how far it is.

    SpecValid, PlanFits, NodeClaimReady, NodesReady, ResourceReady    as for a model to serve
    JobStarted           the program runs, or has ended well (KAITO's condition)
    WorkspaceSucceeded   the Job has succeeded; Ready the same, with the root cause in its reason

What has succeeded stays so, whatever becomes of its machines.

Must not import reconcile or anything that touches the cluster.
"""

from dataclasses import replace

from workspace_operator import conditions
from workspace_operator.api import TrainingStatus, WorkspaceStatus
from workspace_operator.api.output_repository import output_repository
from workspace_operator.objects.tuning_job import USELESS_TO_REPEAT, job_of
from workspace_operator.snapshot import Pod, Snapshot, Termination, TrainingAnswer
from workspace_operator.snapshot.jobs import Job, parse_training_answer
from workspace_operator.status import training_reasons
from workspace_operator.status.evidence import Evidence
from workspace_operator.status.finding import Finding, Reason, holds, quoted
from workspace_operator.status.ladder import Ladder, Rung, beginning, cause_of, held_back, with_sum
from workspace_operator.status.pod_checks import BEFORE_THE_START, end_in_words, pods

SUCCEEDED_PHASE = "Succeeded"
_AT_WORK: dict[str, Reason] = {
    "loading": training_reasons.LOADING_BASE,
    "preparing": training_reasons.PREPARING,
    "training": training_reasons.TRAINING,
    "saving": training_reasons.SAVING,
    "pushing": training_reasons.PUSHING,
}
PHASES_AT_WORK = frozenset({each.phase for each in _AT_WORK.values()} | {"StartingTraining"})


def climb_training(evidence: Evidence, faults: tuple[Finding, ...]) -> Ladder:
    """Judge a tuning that has a plan."""
    job = job_of(evidence.workspace, evidence.plan, evidence.snapshot)
    below, machines = beginning(evidence)
    obstacle = cause_of(machines)
    if job is not None and job.ended:
        obstacle = None
    training = _training(evidence, job, obstacle, faults)
    started: Rung = (conditions.JOB_STARTED, _started(evidence, job, training))
    done = training.holds
    causes = [training] if job is not None and job.ended else [*faults, *machines, training]
    return with_sum(
        (*below, started),
        cause_of(causes),
        training,
        achieved=done,
        text=f"the tuning has succeeded: {training.message}",
    )


def training_status(evidence: Evidence) -> TrainingStatus | None:
    """Return the figures of the last report; those of another training are forgotten."""
    job = job_of(evidence.workspace, evidence.plan, evidence.snapshot)
    return figures_of(job, evidence.snapshot, evidence.workspace.status.tuning)


def figures_of(
    job: Job | None, snapshot: Snapshot, before: TrainingStatus | None
) -> TrainingStatus | None:
    """Return the figures of a Job's last report; where it made none, those from before."""
    if job is None:
        return None
    answer = _last_answer(snapshot)
    if answer is None or not answer.phase:
        if before is None or not job.ended:
            return before
        return before.model_copy(update={"phase": "succeeded" if job.complete else "failed"})
    return TrainingStatus(
        phase=answer.phase[:64],
        step=answer.step,
        steps=answer.steps or None,
        loss=_rounded(answer.loss, 4),
        first_loss=_rounded(answer.first_loss, 4),
        tokens_per_second=_rounded(answer.tokens_per_second, 1),
        seconds_left=answer.seconds_left if answer.phase == "training" else None,
    )


def figures(status: TrainingStatus | None) -> str:
    """Say how far a training is in one line."""
    if status is None or not status.steps:
        return ""
    parts = [f"step {status.step} of {status.steps}"]
    if status.loss is not None:
        parts.append(f"loss {status.loss:g}")
    if status.seconds_left is not None:
        parts.append(f"{status.seconds_left} s left")
    return ", ".join(parts)


def state_of(ladder: Ladder, before: WorkspaceStatus) -> str:
    """Return KAITO's word for a tuning."""
    rungs = dict(ladder.rungs)
    if rungs[conditions.WORKSPACE_SUCCEEDED].holds:
        return conditions.STATE_SUCCEEDED
    started = rungs.get(conditions.JOB_STARTED)
    if started is not None and started.reason == conditions.JOB_STATUS_FAILED:
        return conditions.STATE_FAILED
    if started is not None and started.holds:
        return conditions.STATE_RUNNING
    again = before.state == conditions.STATE_RUNNING and started is not None
    return conditions.STATE_RUNNING if again else conditions.STATE_PENDING


def _training(
    evidence: Evidence, job: Job | None, obstacle: Finding | None, faults: tuple[Finding, ...]
) -> Finding:
    if job is not None and job.ended:
        return _outcome(evidence, job)
    fault = next((each for each in faults if each.failed), None)
    if fault is not None:
        return fault
    if obstacle is not None and not evidence.pods:
        return held_back(obstacle, "The tuning has not started", conditions.JOB_STATUS_PENDING)
    if evidence.pods:
        return pods(evidence, evidence.pods, (*BEFORE_THE_START, _at_work))
    if job is not None and evidence.ended:
        return _ended(evidence, evidence.ended[-1])
    return training_reasons.NO_POD.found(name=evidence.workspace.name)


def _ended(evidence: Evidence, pod: Pod) -> Finding:
    """Return how the last pod ended, of which the Job has not drawn its conclusion yet."""
    if pod.phase != "Succeeded":
        return _explained(evidence, pod, training_reasons.RETRYING)
    found = training_reasons.ENDING.found(pod=pod.name)
    return replace(found, progress=figures(training_status(evidence)))


def _started(evidence: Evidence, job: Job | None, training: Finding) -> Finding:
    refused = training.reason == training_reasons.REFUSED.word  # the Job follows within a second
    if refused or (job is not None and job.failure is not None):
        return Finding(
            verdict=conditions.FALSE, reason=conditions.JOB_STATUS_FAILED, message=training.message
        )
    ended_well = job is not None and any(pod.phase == "Succeeded" for pod in evidence.ended)
    if training.holds or ended_well or any(pod.running for pod in evidence.pods):
        return holds(conditions.JOB_STATUS_STARTED, "the tuning has started")
    return Finding(
        verdict=conditions.FALSE, reason=conditions.JOB_STATUS_PENDING, message=training.message
    )


def _at_work(evidence: Evidence, pod: Pod) -> Finding | None:
    answer = evidence.snapshot.trainings.get(pod.name, TrainingAnswer())
    reason = _AT_WORK.get(answer.phase or _last_phase(evidence))
    if reason is None:
        return training_reasons.STARTING.found(pod=pod.name)
    found = reason.found(pod=pod.name, output=_output(evidence))
    return replace(found, progress=figures(training_status(evidence)))


def _last_phase(evidence: Evidence) -> str:
    """Return what the first try said last: one that is silent for once is not at its start."""
    before = evidence.workspace.status.tuning
    return "" if before is None or evidence.ended else before.phase or ""


def _outcome(evidence: Evidence, job: Job) -> Finding:
    """Return that a Job has succeeded, or explain by its last pod why it was given up."""
    if job.failure is None:
        return holds(conditions.SUCCEEDED, f"the adapter is in {_output(evidence)}")
    if evidence.ended:
        return _explained(evidence, evidence.ended[-1], training_reasons.FAILED)
    name = evidence.workspace.name
    return training_reasons.JOB_FAILED.found(name=name, quote=quoted(job.failure.message))


def _explained(evidence: Evidence, pod: Pod, otherwise: Reason) -> Finding:
    end = pod.last_end if pod.last_end and pod.last_end.exit_code else pod.fetch_end
    end = end or Termination(exit_code=0, reason=pod.reason, message=pod.message)
    facts = {"pod": pod.name, "name": evidence.workspace.name, "code": end.exit_code}
    quote = quoted(end.message or end.reason)
    if end.exit_code == USELESS_TO_REPEAT:
        return training_reasons.REFUSED.found(quote=quote, **facts)
    known = end_in_words(pod, end)
    if known is not None:
        return replace(known, failed=otherwise.failed, phase=otherwise.phase)
    return otherwise.found(quote=quote, **facts)


def _last_answer(snapshot: Snapshot) -> TrainingAnswer | None:
    """Return what a pod says, or what one that ended well has left as its last words."""
    for pod in snapshot.current_pods:
        if pod.name in snapshot.trainings:
            return snapshot.trainings[pod.name]
    for pod in snapshot.pods:
        if pod.phase == "Succeeded" and pod.last_end is not None:
            return parse_training_answer(pod.last_end.message)
    return None


def _output(evidence: Evidence) -> str:
    tuning = evidence.workspace.tuning
    image = tuning.output.image if tuning else None
    place = f"image {image}" if image else "the volume of tuning.output"
    repository = output_repository(evidence.workspace.annotations)
    return f"{place}, and in repository {repository}" if repository else place


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
