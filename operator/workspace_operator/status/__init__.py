"""
Tell the user the truth about a Workspace: what was decided, what exists, and what a pod answered.

`report` turns all of that into the whole status, from nothing but its arguments: the checks find
(`node_checks`, `pod_checks`), the ladder orders them into conditions, the ledger adds the seconds,
`attempts` remembers the tries to get a machine. Called again with its own result it changes
nothing, so a pass without news writes nothing.

Invariant: Ready is True only if a token was generated through a pod that gets requests.
Must not import reconcile or anything that touches the cluster.
"""

from datetime import datetime

from model_presets.catalog import UnknownPreset

from workspace_operator import conditions
from workspace_operator.api import (
    Condition,
    Endpoint,
    InvalidSpec,
    ModelIdentity,
    Rollout,
    Workspace,
    WorkspaceStatus,
)
from workspace_operator.changes import NameConflict, conflicts, waits_for_consent
from workspace_operator.objects.metadata import identity_of
from workspace_operator.objects.slots import owned_claims
from workspace_operator.objects.tuning_job import any_job_of
from workspace_operator.objects.watchdog import gpu_failures
from workspace_operator.plan import Plan, PlanError
from workspace_operator.snapshot import NodeClaim, Pod, Snapshot
from workspace_operator.snapshot.jobs import Job
from workspace_operator.status import reasons
from workspace_operator.status.attempts import node_attempts
from workspace_operator.status.evidence import Evidence, gather
from workspace_operator.status.finding import Finding, quoted
from workspace_operator.status.ladder import (
    Ladder,
    climb,
    to_conditions,
)
from workspace_operator.status.ledger import download, startup
from workspace_operator.status.pace import READY_PHASE, requeue_after_seconds
from workspace_operator.status.planned import plan_status
from workspace_operator.status.refused import hold_at_the_plan, refuse
from workspace_operator.status.refused_training import with_training
from workspace_operator.status.training import (
    SUCCEEDED_PHASE,
    climb_training,
    figures,
    state_of,
    training_status,
)

__all__ = ["Outcome", "report", "report_invalid", "requeue_after_seconds"]

Outcome = Plan | PlanError | UnknownPreset


def report(
    workspace: Workspace,
    outcome: Outcome,
    snapshot: Snapshot,
    now: datetime,
    *,
    fault: str = "",
    rollout: Rollout | None = None,
) -> WorkspaceStatus:
    """
    Return the whole status of a Workspace.

    Args:
        workspace: The Workspace with the status that it has now.
        outcome: The plan, or why there is none.
        snapshot: What the cluster holds.
        now: The present, for what only a clock can say.
        fault: Why a write of this pass was refused, if one was.
        rollout: Which revision of the pod serves, is tried or was taken back.
    """
    if workspace.deletion_timestamp is not None:
        return _report_deletion(workspace, snapshot, now)
    if not isinstance(outcome, Plan):
        finding = _refusal(outcome)
        job = any_job_of(workspace, snapshot)
        ladder = refuse(
            workspace.status,
            conditions.PLAN_FITS,
            finding,
            snapshot,
            nodes=workspace.resource.count,
            tunes=workspace.tuning is not None,
            job=job,
        )
        status = _without_plan(workspace.status, ladder, workspace.generation, snapshot, now)
        return with_training(status, ladder, job, workspace.status, snapshot)
    if waits_for_consent(workspace, snapshot):
        return _report_consent(workspace, outcome, snapshot, now)
    evidence = gather(workspace, outcome, snapshot, now)
    if outcome.training is not None:
        return _report_training(evidence, _faults(workspace, snapshot, fault), fault)
    ladder = climb(evidence, _faults(workspace, snapshot, fault), rollout or Rollout())
    status = _report_plan(evidence, ladder, fault)
    return status.model_copy(update={"rollout": rollout if rollout != Rollout() else None})


def report_invalid(
    problem: InvalidSpec,
    generation: int,
    before: WorkspaceStatus,
    snapshot: Snapshot,
    now: datetime,
) -> WorkspaceStatus:
    """
    Return the status of an object that cannot be read as a Workspace.

    Args:
        problem: What is wrong.
        generation: The object's metadata.generation.
        before: Its present status, from `api.parse_status`.
        snapshot: What the cluster holds of it, and of nobody else.
        now: The present.
    """
    finding = reasons.INVALID_SPEC.found(path=problem.path, why=problem.why.rstrip("."))
    nodes = before.target_node_count or 1
    job = Job.parse(snapshot.job) if snapshot.job else None
    ladder = refuse(before, conditions.SPEC_VALID, finding, snapshot, nodes=nodes, job=job)
    status = _without_plan(before, ladder, generation, snapshot, now)
    return with_training(status, ladder, job, before, snapshot)


def _refusal(outcome: PlanError | UnknownPreset) -> Finding:
    if isinstance(outcome, UnknownPreset):
        hint = f"; did you mean {' or '.join(outcome.nearest)}?" if outcome.nearest else ""
        return reasons.UNKNOWN_PRESET.found(name=outcome.name, hint=hint)
    reason = reasons.PLAN_REFUSED.in_the_words_of(outcome.reason)
    return reason.found(message=outcome.message.rstrip("."))


def _faults(workspace: Workspace, snapshot: Snapshot, fault: str) -> tuple[Finding, ...]:
    found = [_conflict(each) for each in conflicts(identity_of(workspace), snapshot)]
    if fault:
        found.append(reasons.FAULT.found(message=quoted(fault)))
    return tuple(found)


def _conflict(conflict: NameConflict) -> Finding:
    return reasons.NAME_CONFLICT.found(kind=conflict.kind, name=conflict.name)


def _report_plan(evidence: Evidence, ladder: Ladder, fault: str) -> WorkspaceStatus:
    workspace, plan, snapshot = evidence.workspace, evidence.plan, evidence.snapshot
    cause = ladder.cause
    claims = [slot.claim for slot in evidence.slots.slots if slot.claim is not None]
    found_type = next((claim.instance_type for claim in claims if claim.instance_type), None)
    return WorkspaceStatus(
        worker_nodes=tuple(node.name for node in evidence.usable),
        target_node_count=plan.node_count,
        state=_state(workspace.status, ready=ladder.serves),
        conditions=to_conditions(ladder, workspace.generation, workspace.status, evidence.now),
        performance=workspace.status.performance,
        phase=cause.phase if cause else READY_PHASE,
        progress=_progress(cause),
        startup=startup(evidence),
        download=download(evidence),
        plan=plan_status(plan, snapshot, found_type=found_type, full=False),
        endpoint=Endpoint(url=f"http://{workspace.name}.{workspace.namespace}.svc"),
        model=_model((*evidence.serving, *evidence.pods), snapshot),
        observed_generation=workspace.generation,
        node_attempts=node_attempts(evidence, fault),
        gpu_failures=gpu_failures(workspace.status, snapshot, evidence.now),
    )


def _report_training(
    evidence: Evidence, faults: tuple[Finding, ...], fault: str
) -> WorkspaceStatus:
    """Return the status of a tuning."""
    ladder = climb_training(evidence, faults)
    figures_now = training_status(evidence)
    succeeded = ladder.cause is None
    return _report_plan(evidence, ladder, fault).model_copy(
        update={
            "state": state_of(ladder, evidence.workspace.status),
            "phase": SUCCEEDED_PHASE if ladder.cause is None else ladder.cause.phase,
            "progress": (figures(figures_now) if succeeded else _progress(ladder.cause)) or None,
            "tuning": figures_now,
            "endpoint": None,
            "model": None,
        }
    )


def _report_consent(
    workspace: Workspace, plan: Plan, snapshot: Snapshot, now: datetime
) -> WorkspaceStatus:
    """Return the status of a Workspace that is only to be planned: all figures, and no objects."""
    finding = reasons.PLANNED.found()
    ladder = hold_at_the_plan(workspace.status, plan, finding)
    status = _without_plan(workspace.status, ladder, workspace.generation, snapshot, now)
    full = plan_status(plan, snapshot, found_type=None, full=True)
    return status.model_copy(update={"plan": full, "target_node_count": plan.node_count})


def _model(among: tuple[Pod, ...], snapshot: Snapshot) -> ModelIdentity | None:
    for pod in among:
        answer = snapshot.answer(pod)
        if answer.model_name:
            return ModelIdentity(
                name=answer.model_name,
                revision=answer.model_revision or None,
                digest=answer.model_digest or None,
            )
    return None


def _without_plan(
    before: WorkspaceStatus, ladder: Ladder, generation: int, snapshot: Snapshot, now: datetime
) -> WorkspaceStatus:
    """Return the status of a Workspace that has no plan; what was learnt before stays."""
    return before.model_copy(
        update={
            "state": _state(before, ready=ladder.serves),
            "conditions": to_conditions(ladder, generation, before, now),
            "phase": ladder.cause.phase if ladder.cause else None,
            "progress": None,
            "download": None,
            "model": _model(snapshot.serving_pods, snapshot),
            "observed_generation": generation,
        }
    )


def _report_deletion(workspace: Workspace, snapshot: Snapshot, now: datetime) -> WorkspaceStatus:
    """Return the status of a Workspace that is going; the other conditions stay as they were."""
    before = workspace.status
    claims = owned_claims(identity_of(workspace), snapshot)
    rest = f"; waits for {', '.join(map(_going, claims))} to go" if claims else ""
    finding = reasons.DELETING.found(rest=rest)
    deleting = Finding(verdict="True", reason=conditions.DELETED, message=finding.message)
    whole = Finding(verdict="False", reason=conditions.PENDING, message=finding.message)
    ladder = Ladder(
        rungs=(
            (conditions.WORKSPACE_DELETING, deleting),
            (conditions.WORKSPACE_SUCCEEDED, whole),
            (conditions.READY, finding),
        ),
        cause=finding,
    )
    made = to_conditions(ladder, workspace.generation, before, now)
    replaced: dict[str, Condition] = {each.type: each for each in made}
    over = {*replaced, conditions.STALLED}
    kept = tuple(each for each in before.conditions if each.type not in over)
    return before.model_copy(
        update={
            "state": _state(before, ready=False),
            "conditions": (*kept, *made),
            "phase": finding.phase,
            "progress": rest.removeprefix("; ") or None,
            "download": None,
            "observed_generation": workspace.generation,
        }
    )


def _going(claim: NodeClaim) -> str:
    """Name a claim that is still there, since when it is going, and what holds it."""
    if claim.deleting_since is None:
        return f"NodeClaim {claim.name}"
    since = f"{claim.deleting_since:%Y-%m-%dT%H:%M:%SZ}"
    held = f", held by {' and '.join(claim.finalizers)}" if claim.finalizers else ""
    return f"NodeClaim {claim.name} (deleted at {since}{held})"


def _progress(cause: Finding | None) -> str | None:
    """Say how far it has come, or what has to be mended first."""
    if cause is None:
        return None
    return cause.progress or (cause.reason if cause.failed else None)


def _state(before: WorkspaceStatus, *, ready: bool) -> str:
    """Return KAITO's word; once Ready a Workspace is never Pending again."""
    if ready:
        return conditions.STATE_READY
    if before.state in {conditions.STATE_READY, conditions.STATE_NOT_READY}:
        return conditions.STATE_NOT_READY
    return conditions.STATE_PENDING
