"""The truth about a Workspace: one row per situation, and what the user is told in it."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from model_presets.catalog import UnknownPreset
from workspace_operator import conditions
from workspace_operator.api import InvalidSpec, NodeAttempt, Workspace, WorkspaceStatus
from workspace_operator.changes import changes
from workspace_operator.objects import desired_objects
from workspace_operator.objects.metadata import claim_name
from workspace_operator.plan import PlanError
from workspace_operator.settings import Settings
from workspace_operator.snapshot import ModelAnswer, Snapshot
from workspace_operator.status import reasons, report, report_invalid, requeue_after_seconds
from workspace_operator.status.finding import Reason

from tests.operator_world import (
    BYO,
    CATALOG,
    OWNER,
    SETTINGS,
    Manifest,
    at,
    claim,
    condition,
    ended,
    node,
    planned,
    pod,
    running,
    waiting,
    workspace,
)

NOW = at(300)
SERVES = ModelAnswer(
    ready=True,
    phase="ready",
    model_name="mistral-7b-instruct",
    model_revision="9ab9",
    model_digest="sha256:1",
    token_generated=True,
)
BYO_NODE = {"apps": "mistral"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One situation, and the root cause, the sentence and the phase that follow from it."""

    name: str
    reason: str
    says: str
    phase: str
    failed: bool = False
    state: str = "Pending"
    claims: tuple[Manifest, ...] = (claim(),)
    nodes: tuple[Manifest, ...] = (node(),)
    pods: tuple[Manifest, ...] = ()
    answers: dict[str, ModelAnswer] = field(default_factory=dict)
    deployment: Manifest | None = None
    attempts: tuple[NodeAttempt, ...] = ()
    settings: Settings = SETTINGS
    facts: dict[str, Any] = field(default_factory=dict)
    fault: str = ""
    # Conditions by type, where the row speaks about them.
    conditions: dict[str, str] = field(default_factory=dict)


def crashed(message: str = "", code: int = 1, reason: str = "Error") -> tuple[Manifest, ...]:
    last = ended(code, reason, message)
    return (pod(state=waiting("CrashLoopBackOff"), last=last, restarts=4),)


def answers(**facts: Any) -> dict[str, ModelAnswer]:  # noqa: ANN401 - as ModelAnswer
    return {"mistral-a": ModelAnswer(**facts)}


def foreign(kind: str) -> Manifest:
    return {
        "kind": kind,
        "metadata": {"name": "mistral", "ownerReferences": [{"uid": "x", "controller": True}]},
    }


ROWS = [
    Row(
        name="nothing yet",
        reason="NodeClaimNotReady",
        says=f"0 of 1. NodeClaim {claim_name(OWNER, 0, 0)} was asked for",
        phase="LaunchingNode",
        claims=(),
        nodes=(),
        conditions={
            "SpecValid": "True",
            "PlanFits": "True",
            "NodeClaimReady": "False",
            "NodesReady": "False",
            "ResourceReady": "False",
            "ImagePulled": "Unknown",
            "WeightsLoaded": "Unknown",
            "InferenceReady": "False",
            "WorkspaceSucceeded": "False",
            "Ready": "False",
        },
    ),
    Row(
        name="claim is new",
        reason="AwaitingReconciliation",
        says="has no machine yet: AwaitingReconciliation",
        phase="LaunchingNode",
        claims=(claim(steps=0),),
        nodes=(),
    ),
    Row(
        name="cloud refuses",
        reason="LaunchFailed",
        says="has no machine yet: quota StandardNCADSA100v4Family exceeded. Details: kubectl",
        phase="LaunchingNode",
        claims=(
            claim(
                steps=0, obstacle=("LaunchFailed", "quota StandardNCADSA100v4Family\n exceeded.")
            ),
        ),
        nodes=(),
    ),
    Row(
        name="claim gives a reason that is no word",
        reason="NodeClaimNotReady",
        says="has no machine yet: strange",
        phase="LaunchingNode",
        claims=(claim(steps=0, obstacle=("not a word!", "strange")),),
        nodes=(),
    ),
    Row(
        name="no capacity, claim gone, waiting to try again",
        reason="InsufficientCapacity",
        says="No machine for Standard_NC24ads_A100_v4: no A100 in eastus. Failed tries: 2; "
        "the next is at 2026-03-01T10:0",
        phase="WaitingForCapacity",
        claims=(),
        nodes=(),
        attempts=(
            NodeAttempt(
                ordinal=0,
                attempt=2,
                reason="InsufficientCapacity",
                message="no A100 in eastus",
                time=at(290),
            ),
        ),
    ),
    Row(
        name="claim gone without a word",
        reason="NodeClaimGone",
        says="was deleted and nobody said why",
        phase="WaitingForCapacity",
        claims=(),
        nodes=(),
        attempts=(NodeAttempt(ordinal=0, attempt=0, claim="ws1", time=at(0)),),
    ),
    Row(
        name="claim asked for, not seen yet",
        reason="NodeClaimNotReady",
        says="NodeClaim ws1 was asked for",
        phase="LaunchingNode",
        claims=(),
        nodes=(),
        attempts=(NodeAttempt(ordinal=0, attempt=0, claim="ws1", time=at(298)),),
    ),
    Row(
        name="machine runs, not registered",
        reason="NodeNotFound",
        says="runs and has not joined as a node",
        phase="RegisteringNode",
        claims=(claim(steps=1, obstacle=("NodeNotFound", "Node not registered with cluster")),),
        nodes=(),
    ),
    Row(
        name="claim is dying",
        reason="NodeClaimNotReady",
        says="is being deleted; another is asked for",
        phase="ReplacingNode",
        claims=(claim(deleting=True),),
        nodes=(),
    ),
    Row(
        name="claims of a namesake are in the way",
        reason="NodeClaimNotReady",
        says="have to go first: old",
        phase="ReplacingNode",
        claims=(claim("old", uid="uid-0"),),
        nodes=(),
    ),
    Row(
        name="registered, GPU not visible: the node explains the claim",
        reason="NodePluginsNotReady",
        says="node-1 shows 0 of 1 nvidia.com/gpu",
        phase="WaitingForGPU",
        claims=(claim(steps=2, obstacle=("ResourceNotRegistered", "nvidia.com/gpu")),),
        nodes=(node(gpus=0),),
        conditions={"NodeClaimReady": "False", "NodesReady": "False"},
    ),
    Row(
        name="GPU not visible for more than ten minutes",
        reason="GPUNotVisible",
        says="Look at the driver and the device plugin",
        phase="WaitingForGPU",
        failed=True,
        claims=(claim(steps=2, obstacle=("ResourceNotRegistered", "nvidia.com/gpu")),),
        nodes=(node(gpus=0, since=-400),),
    ),
    Row(
        name="node is not ready",
        reason="NodeNotReady",
        says="node node-1 is not: kubelet stopped posting",
        phase="PreparingNode",
        nodes=(node(ready=False),),
        conditions={"NodeClaimReady": "True"},
    ),
    Row(
        name="claim is ready, node not seen",
        reason="NodeNotReady",
        says="no node has joined",
        phase="RegisteringNode",
        nodes=(),
    ),
    Row(
        name="one node of two",
        reason="NodeClaimNotReady",
        says=f"1 of 2. NodeClaim {claim_name(OWNER, 1, 0)} was asked for",
        phase="LaunchingNode",
        facts={"count": 2},
    ),
    Row(
        name="brought nodes: none matches",
        reason="NodeNotReady",
        says="0 of 1 match apps In mistral. Label a node with a GPU: kubectl label node NAME "
        "apps=mistral",
        phase="WaitingForNodes",
        nodes=(node(labels={"apps": "x"}),),
        claims=(),
        settings=BYO,
    ),
    Row(
        name="brought nodes: no GPU",
        reason="NodePluginsNotReady",
        says="shows 0 of 1",
        phase="WaitingForGPU",
        nodes=(node(gpus=0, labels=BYO_NODE),),
        claims=(),
        settings=BYO,
    ),
    Row(
        name="nodes ready, no pod yet",
        reason="WorkspaceInferenceStatusPending",
        says="its Deployment has made no pod yet",
        phase="Scheduling",
        conditions={"ResourceReady": "True", "NodesReady": "True", "NodeClaimReady": "True"},
    ),
    Row(
        name="quota refuses the pod",
        reason="PodRefused",
        says="may not make its pod: exceeded quota: gpus",
        phase="Scheduling",
        failed=True,
        deployment={
            "metadata": {"name": "mistral", "labels": {"kaito.sh/workspace": "mistral"}},
            "status": {"conditions": [condition("ReplicaFailure", message="exceeded quota: gpus")]},
        },
    ),
    Row(
        name="pod is being placed",
        reason="WorkspaceInferenceStatusPending",
        says="is being placed on a node",
        phase="Scheduling",
        pods=(pod(placed=False, conditions=[]),),
    ),
    Row(
        name="pod fits nowhere",
        reason="Unschedulable",
        says="fits on no node: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu. Details",
        phase="Scheduling",
        pods=(
            pod(
                placed=False,
                conditions=[
                    condition(
                        "PodScheduled",
                        "False",
                        "Unschedulable",
                        "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
                    )
                ],
            ),
        ),
    ),
    Row(
        name="image is being pulled",
        reason="PullingImage",
        says="Node node-1 is getting image atelier/mistral-7b-instruct:1.2.3",
        phase="PullingImage",
        pods=(pod(),),
        conditions={"ImagePulled": "False", "WeightsLoaded": "Unknown"},
    ),
    Row(
        name="image cannot be pulled",
        reason="ImagePullError",
        says="cannot pull image atelier/mistral-7b-instruct:1.2.3: not found",
        phase="PullingImage",
        failed=True,
        pods=(pod(state=waiting("ImagePullBackOff", "not found")),),
        conditions={"ImagePulled": "False"},
    ),
    Row(
        name="a Secret is missing",
        reason="ContainerStartError",
        says='cannot start its container: secret "hub" not found',
        phase="StartingServer",
        failed=True,
        pods=(pod(state=waiting("CreateContainerConfigError", 'secret "hub" not found')),),
    ),
    Row(
        name="evicted for disk",
        reason="NodeDiskPressure",
        says="the disk of node node-1 is full",
        phase="Scheduling",
        pods=(
            pod(
                state=running(),
                phase="Failed",
                reason="Evicted",
                message="The node was low on resource: ephemeral-storage.",
            ),
        ),
    ),
    Row(
        name="evicted for memory",
        reason="NodeMemoryPressure",
        says="the memory of node node-1 ran short",
        phase="Scheduling",
        pods=(
            pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
        ),
    ),
    Row(
        name="evicted for another reason",
        reason="PodEvicted",
        says="was evicted from node node-1: Preempted",
        phase="Scheduling",
        pods=(pod(phase="Failed", reason="Preempted"),),
    ),
    Row(
        name="killed for host memory",
        reason="ContainerOOMKilled",
        says="was killed 4 times",
        phase="StartingServer",
        failed=True,
        pods=crashed(code=137, reason="OOMKilled"),
    ),
    Row(
        name="crash loop",
        reason="ContainerCrashLoopBackOff",
        says="ended with exit code 1: --dtype: unknown value. It is started again",
        phase="StartingServer",
        failed=True,
        pods=crashed("--dtype: unknown value"),
        conditions={"ImagePulled": "True"},
    ),
    Row(
        name="model does not fit the GPU after all",
        reason="GPUOutOfMemory",
        says="does not fit the GPU of pod mistral-a: torch.OutOfMemoryError: CUDA out of memory",
        phase="LoadingWeights",
        failed=True,
        pods=crashed("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"),
    ),
    Row(
        name="driver too old",
        reason="GPUDriverFailed",
        says="Check the driver on node node-1",
        phase="StartingServer",
        failed=True,
        pods=crashed("RuntimeError: The NVIDIA driver on your system is too old"),
    ),
    Row(
        name="disk full in the pod",
        reason="DiskFull",
        says="has no disk space left",
        phase="StartingServer",
        failed=True,
        pods=crashed("OSError: [Errno 28] No space left on device"),
    ),
    Row(
        name="gated model",
        reason="ModelAccessDenied",
        says="presetOptions.modelAccessSecret, key HF_TOKEN",
        phase="LoadingWeights",
        failed=True,
        pods=crashed("401 Client Error: access to model x is gated"),
    ),
    Row(
        name="weights are not the preset's",
        reason="WeightsRefused",
        says="Rebuild the image",
        phase="LoadingWeights",
        failed=True,
        pods=crashed("model-00001.safetensors: SHA-256 is 00, the lock file says 11"),
    ),
    Row(
        name="engine died a moment ago, container runs again",
        reason="ContainerCrashLoopBackOff",
        says="exit code 70: the engine died",
        phase="StartingServer",
        failed=True,
        pods=(pod(state=running(), last=ended(70, message="the engine died"), restarts=1),),
    ),
    Row(
        name="process is up, server is silent",
        reason="WorkspaceInferenceStatusPending",
        says="server in pod mistral-a is starting",
        phase="StartingServer",
        pods=(pod(state=running()),),
        answers=answers(error="connection refused"),
        conditions={"ImagePulled": "True", "WeightsLoaded": "Unknown"},
    ),
    Row(
        name="weights are being loaded",
        reason="LoadingWeights",
        says="is loading the weights",
        phase="LoadingWeights",
        pods=(pod(state=running(260)),),
        answers=answers(phase="loading", bytes_loaded=5_000, bytes_total=10_000),
        conditions={"WeightsLoaded": "False"},
    ),
    Row(
        name="first token is being made",
        reason="WarmingUp",
        says="making its first token",
        phase="WarmingUp",
        pods=(pod(state=running()),),
        answers=answers(phase="warming"),
        conditions={"WeightsLoaded": "True"},
    ),
    Row(
        name="server gave up",
        reason="ModelServerFailed",
        says="gave up: tokenizer.json is missing",
        phase="StartingServer",
        failed=True,
        pods=(pod(state=running()),),
        answers=answers(phase="failed", error="tokenizer.json is missing"),
    ),
    Row(
        name="server drains",
        reason="Draining",
        says="finishing its answers",
        phase="Draining",
        pods=(pod(state=running(), ready=True),),
        answers=answers(phase="draining"),
    ),
    Row(
        name="server is ready, kubelet has not noticed",
        reason="WorkspaceInferenceStatusPending",
        says="has not passed it to the Service yet",
        phase="WarmingUp",
        pods=(pod(state=running()),),
        answers=answers(ready=True, phase="ready", token_generated=True),
    ),
    Row(
        name="pod is ready, operator may not reach it",
        reason="ProbeFailed",
        says="no token from it: no answer from 198.18.4.7:5000",
        phase="Probing",
        pods=(pod(state=running(), ready=True),),
        answers=answers(error="no answer from 198.18.4.7:5000"),
    ),
    Row(
        name="pod is ready, not asked yet",
        reason="WorkspaceInferenceStatusPending",
        says="has not been asked for a token yet",
        phase="Probing",
        pods=(pod(state=running(), ready=True),),
    ),
    Row(
        name="of two pods the one nearest to serving is shown",
        reason="WarmingUp",
        says="Pod mistral-a",
        phase="WarmingUp",
        facts={"count": 2},
        claims=(claim(ordinal=0), claim(ordinal=1)),
        nodes=(node("node-1"), node("node-2")),
        pods=(pod("mistral-a", state=running()), pod("mistral-b", placed=False)),
        answers=answers(phase="warming"),
    ),
    Row(
        name="a Service of somebody else",
        reason="NameConflict",
        says="Service mistral belongs to something else",
        phase="Blocked",
        failed=True,
        fault="",
        pods=(pod(state=running(), ready=True),),
        answers={"mistral-a": SERVES},
        deployment=foreign("Deployment") | {"kind": "Service"},
    ),
    Row(
        name="the API server refuses a write",
        reason="ClusterRefused",
        says="forbidden: exceeded quota",
        phase="Blocked",
        fault="forbidden: exceeded quota",
    ),
]


def world(row: Row) -> Snapshot:
    conflict = row.deployment if row.deployment and row.deployment.get("kind") else None
    return Snapshot.parse(
        node_claims=row.claims,
        nodes=row.nodes,
        pods=row.pods,
        answers=row.answers,
        deployment=None if conflict else row.deployment,
        service=conflict,
    )


def told(row: Row) -> tuple[Workspace, WorkspaceStatus]:
    made = workspace(WorkspaceStatus(node_attempts=row.attempts), **row.facts)
    plan = planned(made, row.settings)
    return made, report(made, plan, world(row), NOW, fault=row.fault)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_user_is_told(row: Row) -> None:
    made, status = told(row)
    ready = status.condition("Ready")
    assert ready
    assert (ready.status, ready.reason) == ("False", row.reason), ready.message
    assert row.says in ready.message
    assert status.phase == row.phase
    assert status.state == row.state
    whole = status.condition("WorkspaceSucceeded")
    assert whole
    assert whole.reason == (conditions.FAILED if row.failed else conditions.PENDING)
    assert whole.message == ready.message
    for kind, expected in row.conditions.items():
        found = status.condition(kind)
        assert found
        assert found.status == expected, (kind, found)
    for each in status.conditions:
        assert each.observed_generation == made.generation
        assert each.last_transition_time == NOW
    assert (status.condition("NodeClaimReady") is None) == (row.settings is BYO)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_report_on_top_of_itself_changes_nothing(row: Row) -> None:
    made, status = told(row)
    again = made.model_copy(update={"status": status})
    assert report(again, planned(again, row.settings), world(row), NOW, fault=row.fault) == status


def test_every_reason_is_in_the_table() -> None:
    """A cause that nobody can show to happen has no place in the file of reasons."""
    known = {each.word for each in vars(reasons).values() if isinstance(each, Reason)}
    apart = {"InvalidSpec", "UnknownPreset", "PlanRefused", "Deleting"}  # tested below
    reached = {row.reason for row in ROWS}
    assert known - apart <= reached
    assert len(reached) >= 25


SERVING = Row(
    name="serving",
    reason="",
    says="",
    phase="Ready",
    pods=(pod(state=running(), ready=True),),
    answers={"mistral-a": SERVES},
)


def test_ready_means_that_a_token_came_out() -> None:
    _, status = told(SERVING)
    assert {each.status for each in status.conditions} == {"True"}
    assert (status.state, status.phase, status.progress) == ("Ready", "Ready", None)
    assert status.worker_nodes == ("node-1",)
    assert status.target_node_count == 1
    assert status.endpoint
    assert status.endpoint.url == "http://mistral.team.svc"
    assert status.model
    assert (status.model.revision, status.model.digest) == ("9ab9", "sha256:1")
    assert status.plan
    assert status.plan.instance_type == "Standard_NC24ads_A100_v4"
    wordings = {each.type: (each.reason, each.message) for each in status.conditions}
    assert wordings["NodeClaimReady"] == ("NodeClaimsReady", "Enough NodeClaims are ready")
    assert wordings["NodesReady"] == ("NodesReady", "Enough Nodes are ready")
    assert wordings["ResourceReady"][0] == "workspaceResourceStatusSuccess"
    assert wordings["InferenceReady"][0] == "WorkspaceInferenceStatusSuccess"
    assert wordings["WorkspaceSucceeded"][0] == "workspaceSucceeded"


def test_ready_falls_back_when_tokens_stop_and_the_time_moves_once() -> None:
    made, ready = told(SERVING)
    plan = planned(made)
    down = Snapshot.parse(node_claims=[claim()], nodes=[node()], pods=SERVING.pods)
    first = report(made.model_copy(update={"status": ready}), plan, down, at(400))
    assert first.state == "NotReady"
    inference = first.condition("InferenceReady")
    assert inference
    assert (inference.status, inference.last_transition_time) == ("False", at(400))
    nodes = first.condition("NodesReady")
    assert nodes
    assert nodes.last_transition_time == NOW
    second = report(made.model_copy(update={"status": first}), plan, down, at(500))
    assert second == first
    third = report(made.model_copy(update={"status": second}), plan, world(SERVING), at(600))
    assert third.state == "Ready"


def test_a_model_that_answers_is_ready_although_its_node_is_troubled() -> None:
    made = workspace()
    snapshot = Snapshot.parse(
        node_claims=[claim()],
        nodes=[node(ready=False)],
        pods=SERVING.pods,
        answers=SERVING.answers,
    )
    status = report(made, planned(made), snapshot, NOW)
    assert status.condition("InferenceReady").status == "True"  # type: ignore[union-attr]  # always there
    assert status.condition("WorkspaceSucceeded").status == "False"  # type: ignore[union-attr]  # always there


def test_one_of_two_pods_serves_and_the_other_is_explained() -> None:
    made = workspace(count=2)
    snapshot = Snapshot.parse(
        node_claims=[claim(ordinal=0), claim(ordinal=1)],
        nodes=[node("node-1"), node("node-2")],
        pods=[*SERVING.pods, pod("mistral-b")],
        answers=SERVING.answers,
    )
    status = report(made, planned(made), snapshot, NOW)
    message = status.condition("InferenceReady").message  # type: ignore[union-attr]  # always there
    assert "1 of 2 pods serve" in message
    assert "for pod mistral-b" in message
    assert status.state == "Ready"


def test_pressure_on_a_node_is_a_warning() -> None:
    made = workspace()
    snapshot = Snapshot.parse(node_claims=[claim()], nodes=[node(pressure="DiskPressure")])
    message = report(made, planned(made), snapshot, NOW).condition("NodesReady").message  # type: ignore[union-attr]  # always there
    assert message.endswith("under resource pressure: node-1 (DiskPressure)")


def test_an_unknown_preset_is_a_condition() -> None:
    with pytest.raises(UnknownPreset) as unknown:
        CATALOG.get("mistral-7b-instuct")
    status = report(workspace(), unknown.value, Snapshot(), NOW)
    ready = status.condition("Ready")
    assert ready
    assert ready.reason == "UnknownPreset"
    assert "did you mean mistral-7b-instruct" in ready.message
    assert [each.type for each in status.conditions] == [
        "SpecValid",
        "PlanFits",
        "ResourceReady",
        "InferenceReady",
        "WorkspaceSucceeded",
        "Ready",
    ]
    assert status.phase == "Invalid"


def test_a_plan_that_cannot_be_carried_out_is_a_condition() -> None:
    made = workspace(instance_type="Standard_NC4as_T4_v3")
    with pytest.raises(PlanError) as refused:
        planned(made)
    status = report(made, refused.value, Snapshot(), NOW)
    fits, whole = status.condition("PlanFits"), status.condition("WorkspaceSucceeded")
    assert fits
    assert whole
    assert fits.reason == "MemoryDoesNotFit"
    assert whole.reason == conditions.FAILED
    again = report(made.model_copy(update={"status": status}), refused.value, Snapshot(), NOW)
    assert again == status


def test_a_spec_that_cannot_be_read_is_a_condition_and_keeps_what_was_known() -> None:
    _, before = told(SERVING)
    problem = InvalidSpec("resource.count", "-1 is not accepted: write a whole number")
    status = report_invalid(problem, 4, before, at(500))
    ready = status.condition("Ready")
    assert ready
    assert (ready.reason, ready.observed_generation) == ("InvalidSpec", 4)
    assert "resource.count: -1 is not accepted" in ready.message
    assert status.state == "NotReady"
    assert status.node_attempts == before.node_attempts
    assert report_invalid(problem, 4, status, at(600)) == status


def test_a_deletion_says_what_it_waits_for() -> None:
    made, before = told(SERVING)
    going = made.model_copy(update={"status": before, "deletion_timestamp": at(400)})
    snapshot = Snapshot.parse(node_claims=[claim("ws1", deleting=True)])
    status = report(going, planned(made), snapshot, at(401))
    deleting = status.condition("WorkspaceDeleting")
    assert deleting
    assert (deleting.status, deleting.reason) == ("True", "workspaceDeleted")
    assert deleting.message.startswith("workspace is being deleted")
    assert status.progress == "waits for NodeClaim ws1 to go"
    assert status.phase == "Deleting"
    again = going.model_copy(update={"status": status})
    assert report(again, planned(made), snapshot, at(402)) == status


@pytest.mark.parametrize(
    ("phase", "seconds"),
    [("Ready", 30), ("LoadingWeights", 2), ("StartingServer", 2), ("LaunchingNode", 60)],
)
def test_the_next_look_depends_on_the_phase(phase: str, seconds: float) -> None:
    assert requeue_after_seconds(WorkspaceStatus(phase=phase), NOW, SETTINGS) == seconds


@pytest.mark.parametrize(
    ("attempt", "seconds"),
    [
        (NodeAttempt(ordinal=0, attempt=1, time=at(290), next_attempt_at=at(320)), 20),
        (NodeAttempt(ordinal=0, attempt=1, time=at(290), next_attempt_at=at(200)), 0.5),
        (NodeAttempt(ordinal=0, attempt=1, claim="ws1", time=at(298)), 3),
        (NodeAttempt(ordinal=0, attempt=1, claim="ws1", time=at(98)), 60),
    ],
)
def test_the_next_look_is_not_later_than_the_next_try(attempt: NodeAttempt, seconds: float) -> None:
    status = WorkspaceStatus(phase="WaitingForCapacity", node_attempts=(attempt,))
    assert requeue_after_seconds(status, NOW, SETTINGS) == seconds


def test_what_is_reported_and_what_is_made_agree_about_the_claim() -> None:
    made = workspace()
    plan = planned(made)
    status = report(made, plan, Snapshot(), NOW)
    wanted = desired_objects(made, plan, Snapshot(), SETTINGS, NOW)
    todo = changes(made, plan, wanted, Snapshot(), NOW)
    assert status.node_attempts[0].claim == todo.apply[0]["metadata"]["name"]
