"""
Judge a Workspace that has no plan to carry out: refused, or not wanted yet.

What runs is left alone while what is asked for is refused, so the two are told apart
(docs/adr/0010). The rung that broke says what is wrong with the wish. The rungs above it speak of
what runs: where a pod still answers, they hold, and so does WorkspaceSucceeded; where a Job is at
work, they hold up to JobStarted; where neither is, they wait for the wish to be mended. Ready is
False either way, and Stalled stands: what the manifest asks for is not what runs, and it stays like
this until somebody acts.

Invariant: without a token through a pod that gets requests, nothing here is true above the plan.
Must not import anything above `status`, nor a plan that exists for another reason than to be shown.
"""

from dataclasses import replace

from workspace_operator import conditions
from workspace_operator.api import WorkspaceStatus
from workspace_operator.plan import Plan
from workspace_operator.snapshot import Pod, Snapshot
from workspace_operator.snapshot.jobs import Job
from workspace_operator.status.finding import Finding, holds
from workspace_operator.status.ladder import Ladder, Rung, held_back, resource_of, with_sum
from workspace_operator.status.refused_training import refuse_training

SERVES_ON = "The model goes on answering as it was before that."


def stay_at_the_bottom(
    before: WorkspaceStatus, rung: str, finding: Finding, *, tunes: bool = False
) -> Ladder:
    """Judge a Workspace that has no plan: the rungs above the one that broke wait for it."""
    waiting = held_back(finding)
    top = conditions.INFERENCE_READY
    if tunes or before.condition(conditions.JOB_STARTED) is not None:
        top = conditions.JOB_STARTED
        waiting = held_back(finding, "The tuning has not started", conditions.JOB_STATUS_PENDING)
    below = _up_to(rung, finding)
    machines = (conditions.NODE_CLAIM_READY, conditions.NODES_READY)
    kept = tuple((kind, waiting) for kind in machines if before.condition(kind) is not None)
    rungs = (
        *below,
        *kept,
        (conditions.RESOURCE_READY, resource_of(finding)),
        (top, waiting),
    )
    return with_sum(rungs, finding, waiting, achieved=False)


def hold_at_the_plan(before: WorkspaceStatus, plan: Plan, finding: Finding) -> Ladder:
    """Judge a Workspace that is only to be planned: it could go on, and is not to."""
    tunes = plan.training is not None
    below = stay_at_the_bottom(before, conditions.PLAN_FITS, finding, tunes=tunes)
    fits = holds("PlanFits", "; ".join((plan.fit.sentence, *plan.notes)))
    rungs = tuple(
        (kind, fits if kind == conditions.PLAN_FITS else rung) for kind, rung in below.rungs
    )
    return Ladder(rungs=rungs, cause=below.cause)


def refuse(  # noqa: PLR0913 - what is served and what is trained are told in one place
    before: WorkspaceStatus,
    rung: str,
    finding: Finding,
    snapshot: Snapshot,
    *,
    nodes: int,
    tunes: bool = False,
    job: Job | None = None,
) -> Ladder:
    """
    Judge a Workspace whose wish is refused.

    Args:
        before: Its present status.
        rung: The condition that says what is wrong.
        finding: What that is.
        snapshot: What the cluster holds, and what pods answered.
        nodes: How many nodes it is to have.
        tunes: Whether it tunes, and serves nothing.
        job: What the Job of an earlier wish says, where there is one.
    """
    serving = snapshot.serving_pods
    if not serving and job is None:
        return stay_at_the_bottom(before, rung, finding, tunes=tunes)
    machines = _machines(before, finding, snapshot, nodes)
    obstacle = next((found for _, found in machines if not found.holds), None)
    if job is not None:
        resource = (conditions.RESOURCE_READY, resource_of(obstacle))
        below = (*_up_to(rung, finding), *machines, resource)
        return refuse_training(before, below, finding, job, snapshot)
    inference = holds(
        conditions.INFERENCE_SUCCESS,
        f"Inference has been deployed successfully; {len(serving)} of {nodes} pods serve",
    )
    told = replace(finding, message=f"{finding.message} {SERVES_ON}")
    rungs = (
        *_up_to(rung, finding),
        *machines,
        (conditions.RESOURCE_READY, resource_of(obstacle)),
        *_loaded(before, serving[0]),
        (conditions.ROLLED_OUT, told),
        (conditions.INFERENCE_READY, inference),
    )
    whole = obstacle is None
    return with_sum(rungs, None if whole else told, inference, achieved=whole, withheld=told)


def _up_to(rung: str, finding: Finding) -> tuple[Rung, ...]:
    if rung == conditions.SPEC_VALID:
        return ((rung, finding),)
    return (conditions.SPEC_VALID, holds("SpecValid", "the manifest is complete")), (rung, finding)


def _machines(
    before: WorkspaceStatus, finding: Finding, snapshot: Snapshot, nodes: int
) -> tuple[Rung, ...]:
    """Judge the machines by what runs on them, since there is no plan to compare them with."""
    claims = [claim for claim in snapshot.claims if claim.ready and not claim.deleting]
    away = {node.name for node in snapshot.nodes if not node.ready}
    held = {pod.node for pod in snapshot.current_pods if pod.node} - away
    waiting = held_back(finding)
    found: list[Rung] = []
    if before.condition(conditions.NODE_CLAIM_READY) is not None:
        ready = holds(conditions.NODE_CLAIMS_READY, "Enough NodeClaims are ready")
        found.append((conditions.NODE_CLAIM_READY, ready if len(claims) >= nodes else waiting))
    ready = holds(conditions.NODES_ARE_READY, "Enough Nodes are ready")
    found.append((conditions.NODES_READY, ready if len(held) >= nodes else waiting))
    return tuple(found)


def _loaded(before: WorkspaceStatus, pod: Pod) -> tuple[Rung, ...]:
    """Say of a pod that serves what it has behind it."""
    pulled = holds("ImagePulled", f"node {pod.node} holds the image")
    found: list[Rung] = [(conditions.IMAGE_PULLED, pulled)]
    if before.condition(conditions.WEIGHTS_LOADED) is not None:
        loaded = holds("WeightsLoaded", f"pod {pod.name} holds the weights")
        found.append((conditions.WEIGHTS_LOADED, loaded))
    return tuple(found)
