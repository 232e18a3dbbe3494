"""What a report says where there is no plan, at the end of a Workspace, and when to look again."""

import pytest
from model_presets.catalog import UnknownPreset
from workspace_operator import conditions
from workspace_operator.api import InvalidSpec, NodeAttempt, WorkspaceStatus
from workspace_operator.changes import changes
from workspace_operator.objects import desired_objects
from workspace_operator.plan import PlanError
from workspace_operator.snapshot import Snapshot
from workspace_operator.status import report, report_invalid, requeue_after_seconds

from tests.builders import (
    CATALOG,
    SETTINGS,
    at,
    claim,
    planned,
    workspace,
)
from tests.builders.situations import NOW, SERVING, told


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
        "Stalled",
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
    status = report_invalid(problem, 4, before, Snapshot(), at(500))
    ready = status.condition("Ready")
    assert ready
    assert (ready.reason, ready.observed_generation) == ("InvalidSpec", 4)
    assert "resource.count: -1 is not accepted" in ready.message
    assert status.state == "NotReady"
    assert status.node_attempts == before.node_attempts
    assert report_invalid(problem, 4, status, Snapshot(), at(600)) == status


def test_a_deletion_says_what_it_waits_for() -> None:
    made, before = told(SERVING)
    going = made.model_copy(update={"status": before, "deletion_timestamp": at(400)})
    held = claim("ws1", deleting=True)
    held["metadata"]["finalizers"] = ["karpenter.sh/termination"]
    snapshot = Snapshot.parse(node_claims=[held])
    status = report(going, planned(made), snapshot, at(401))
    deleting = status.condition("WorkspaceDeleting")
    assert deleting
    assert (deleting.status, deleting.reason) == ("True", "workspaceDeleted")
    assert deleting.message.startswith("workspace is being deleted")
    assert status.progress == (
        "waits for NodeClaim ws1 (deleted at 2026-03-01T10:05:00Z, "
        "held by karpenter.sh/termination) to go"
    )
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
        (NodeAttempt(ordinal=0, attempt=1, claim="ws1", time=at(300)), 1),
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
