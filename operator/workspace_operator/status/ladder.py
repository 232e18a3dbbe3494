"""
Climb the ladder: from findings to the conditions of a Workspace, in one order.

    SpecValid        the manifest can be read
    PlanFits         what it asks for is offered, and the model fits the GPU
    NodeClaimReady   the machines exist (only where the operator asks for them)
    NodesReady       they have joined and show their GPUs
    ResourceReady    the sum of the two above
    ImagePulled      a node of theirs holds the image
    WeightsLoaded    a server there holds the weights
    RolledOut        the pods are what is wanted, not an earlier revision
    InferenceReady   a token was generated through a pod that gets requests
    WorkspaceSucceeded, Ready    the sum of all; Ready carries the root cause in its reason
    Stalled          there only while True: it stays like this until somebody acts

Types and reasons of KAITO are spelt its way; SpecValid, PlanFits, ImagePulled, WeightsLoaded,
RolledOut, Ready and Stalled are ours; the last two are those that kstatus reads, and with it Flux,
Argo CD and kpt. A rung about which nothing is known yet is False where KAITO's clients expect
False, else Unknown. Serving is judged by itself: a model that answers is ready whatever the rungs
below say.

The root cause is the lowest rung that is not true; one that merely echoes a later one (a claim that
waits for its node's GPU) steps back for it.

Must not import anything above `status`.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from workspace_operator import conditions
from workspace_operator.api import Condition, Rollout, WorkspaceStatus
from workspace_operator.api.annotations import PLAN_ANNOTATION
from workspace_operator.objects.surge import manner
from workspace_operator.plan import plan_only
from workspace_operator.status import reasons
from workspace_operator.status.evidence import Evidence
from workspace_operator.status.finding import Finding, holds, not_known
from workspace_operator.status.node_checks import node_claims, nodes
from workspace_operator.status.pod_checks import pods

Rung = tuple[str, Finding]

WAITING = "Waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """
    Hold the rungs from bottom to top and the cause that explains them.

    Attributes:
        rungs: Condition types with their findings.
        cause: What holds the Workspace back; none when it is Ready.
    """

    rungs: tuple[Rung, ...]
    cause: Finding | None

    @property
    def serves(self) -> bool:
        """Say whether a client is served, be it by an earlier revision."""
        return dict(self.rungs)[conditions.WORKSPACE_SUCCEEDED].holds


def climb(evidence: Evidence, faults: tuple[Finding, ...], rollout: Rollout) -> Ladder:
    """
    Judge a Workspace that has a plan.

    Args:
        evidence: The Workspace and its part of the cluster.
        faults: What stood in the way of writing: refusals, objects of the same name.
        rollout: Which revision of the pod serves, is tried or was taken back.
    """
    below, machines = beginning(evidence)
    inference = _inference(evidence, cause_of(machines), faults)
    rolled = _rolled_out(evidence, rollout)
    rungs = (
        *below,
        (conditions.IMAGE_PULLED, _image_pulled(evidence, inference)),
        *_weights_rung(evidence, inference),
        (conditions.ROLLED_OUT, rolled),
        (conditions.INFERENCE_READY, inference),
    )
    resource = dict(below)[conditions.RESOURCE_READY]
    return with_sum(
        rungs,
        cause_of([*faults, *machines, inference]),
        inference,
        achieved=resource.holds and inference.holds,
        withheld=rolled if rolled.failed else None,
    )


def beginning(evidence: Evidence) -> tuple[tuple[Rung, ...], list[Finding]]:
    """Return the rungs up to the machines, and what was found of these."""
    if evidence.released:
        back = holds(conditions.RESOURCE_SUCCESS, "the machines were given back")
        machines: list[Rung] = []
    else:
        machines = [] if evidence.brought else [_claims_rung(evidence)]
        machines.append((conditions.NODES_READY, nodes(evidence)))
        back = resource_of(cause_of([finding for _, finding in machines]))
    below = (
        (conditions.SPEC_VALID, holds("SpecValid", "the manifest is complete")),
        (conditions.PLAN_FITS, _plan_fits(evidence)),
        *machines,
        (conditions.RESOURCE_READY, back),
    )
    return below, [finding for _, finding in machines]


def to_conditions(
    ladder: Ladder, generation: int, before: WorkspaceStatus, now: datetime
) -> tuple[Condition, ...]:
    """Return the conditions; the time of one moves only when its status does."""
    return tuple(
        _condition(kind, finding, generation, before.condition(kind), now)
        for kind, finding in ladder.rungs
    )


def _condition(
    kind: str, finding: Finding, generation: int, before: Condition | None, now: datetime
) -> Condition:
    unchanged = before is not None and before.status == finding.verdict
    return Condition(
        type=kind,
        status=finding.verdict,
        reason=finding.reason,
        message=finding.message,
        last_transition_time=before.last_transition_time if before and unchanged else now,
        observed_generation=generation,
    )


def _claims_rung(evidence: Evidence) -> Rung:
    return conditions.NODE_CLAIM_READY, node_claims(evidence)


def _plan_fits(evidence: Evidence) -> Finding:
    plan = evidence.plan
    notes = plan.notes
    if plan_only(evidence.workspace):
        notes = (*notes, f"annotation {PLAN_ANNOTATION} has no effect: there are machines already")
    return holds("PlanFits", "; ".join((plan.fit.sentence, *notes)))


def cause_of(findings: list[Finding]) -> Finding | None:
    """Return the lowest finding that does not hold, past those that only echo a later one."""
    broken = [finding for finding in findings if not finding.holds]
    telling = [finding for finding in broken if not finding.defers]
    return next(iter(telling or broken), None)


def resource_of(obstacle: Finding | None) -> Finding:
    """Return the sum of the machines' rungs, of which this is the lowest that does not hold."""
    if obstacle is None:
        return holds(conditions.RESOURCE_SUCCESS, "workspace resource is ready")
    return Finding(verdict=conditions.FALSE, reason=obstacle.reason, message=obstacle.message)


def held_back(
    by: Finding,
    what: str = "Inference workload is not ready",
    word: str = conditions.INFERENCE_PENDING,
) -> Finding:
    """Return the finding of a rung that waits for a lower one."""
    return Finding(
        verdict=conditions.FALSE,
        reason=word,
        message=f"{what}: waits for this: {by.message}",
        phase=by.phase,
        defers=True,
    )


def _inference(
    evidence: Evidence, obstacle: Finding | None, faults: tuple[Finding, ...]
) -> Finding:
    """Judge whether a client would be served."""
    for fault in faults:
        if fault.failed:  # a Service of somebody else leads nowhere, whatever our pods do
            return fault
    others = tuple(pod for pod in evidence.pods if pod not in evidence.serving)
    if evidence.serving:
        count, wanted = len(evidence.serving), evidence.plan.node_count
        text = "Inference has been deployed successfully"
        if evidence.plan.preset is None:
            text += "; a pod of inference.template is asked for no token: it is Ready by itself"
        if count < wanted:
            text += f"; {count} of {wanted} pods serve: {pods(evidence, others).message}"
        return holds(conditions.INFERENCE_SUCCESS, text)
    if obstacle is not None and not evidence.pods and not evidence.ended:
        return held_back(obstacle)
    return pods(evidence, others)


def _image_pulled(evidence: Evidence, inference: Finding) -> Finding:
    pulled = next((pod for pod in evidence.pods if pod.image_pulled), None)
    if pulled is not None:
        return holds("ImagePulled", f"node {pulled.node} holds image {evidence.plan.image}")
    if inference.reason in {conditions.IMAGE_PULL_ERROR, reasons.PULLING_IMAGE.word}:
        return Finding(verdict=conditions.FALSE, reason=inference.reason, message=inference.message)
    return not_known(WAITING, "no pod has come to that yet")


def _rolled_out(evidence: Evidence, rollout: Rollout) -> Finding:
    """Judge whether the pods are what is wanted now."""
    if rollout.failed:
        return reasons.BACKED_OUT.found(
            failed=rollout.failed, why=rollout.message, serving=rollout.serving
        )
    if rollout.candidate:
        return _being_tried(evidence, rollout)
    if evidence.serving:
        return holds("RolledOut", "the pods are what is wanted")
    return not_known(WAITING, "no pod has come to that yet")


def _being_tried(evidence: Evidence, rollout: Rollout) -> Finding:
    """Say how a revision is tried; what was said when that was decided stays."""
    facts = {"candidate": rollout.candidate, "serving": rollout.serving}
    how = manner(evidence.workspace, evidence.plan, evidence.snapshot, rollout.candidate or "")
    if how.starts_first:
        return reasons.ROLLING_OUT_BESIDE.found(why=how.why, **facts)
    if how.why:
        return reasons.ROLLING_OUT_BY_STOPPING.found(why=how.why, **facts)
    found = reasons.ROLLING_OUT.found(**facts)
    before = evidence.workspace.status.condition(conditions.ROLLED_OUT)
    if before is not None and before.message.startswith(found.message.rstrip(".")):
        return replace(found, message=before.message)
    return found


def _weights_rung(evidence: Evidence, inference: Finding) -> tuple[Rung, ...]:
    """Return no rung for a pod template of the user's own: nobody knows what it loads."""
    if evidence.plan.preset is None:
        return ()
    return ((conditions.WEIGHTS_LOADED, _weights_loaded(evidence, inference)),)


def _weights_loaded(evidence: Evidence, inference: Finding) -> Finding:
    for pod in evidence.pods:
        answer = evidence.answer(pod)
        if answer.phase in {"warming", "ready", "draining"} or pod in evidence.serving:
            return holds("WeightsLoaded", f"pod {pod.name} holds the weights")
    if any(evidence.answer(pod).phase for pod in evidence.pods):
        return Finding(verdict=conditions.FALSE, reason=inference.reason, message=inference.message)
    return not_known(WAITING, "no pod has come to that yet")


def with_sum(
    rungs: tuple[Rung, ...],
    cause: Finding | None,
    summit: Finding,
    *,
    achieved: bool,
    withheld: Finding | None = None,
    text: str = "the model answers",
) -> Ladder:
    """
    Add the sums.

    A model that answers from an earlier revision succeeds in KAITO's sense, and is not Ready: what
    the manifest asks for now is not what runs.
    """
    succeeded = achieved and cause is None  # one that cannot be written to is not as asked
    because = withheld if succeeded else cause or summit
    whole = holds(conditions.SUCCEEDED, "workspace succeeds")
    ready = holds("Ready", text)
    if because is not None:
        ready = Finding(verdict=conditions.FALSE, reason=because.reason, message=because.message)
        word = conditions.FAILED if because.failed else conditions.PENDING
        whole = whole if succeeded else replace(ready, reason=word)
    sums: list[Rung] = [(conditions.WORKSPACE_SUCCEEDED, whole), (conditions.READY, ready)]
    if because is not None and because.failed:
        sums.append((conditions.STALLED, replace(ready, verdict=conditions.TRUE)))
    return Ladder(rungs=(*rungs, *sums), cause=because)
