"""The truth about a Workspace: one row per situation, and what the user is told in it."""

from dataclasses import replace

import pytest
from workspace_operator import conditions
from workspace_operator.snapshot import Snapshot
from workspace_operator.status import (
    event_reasons,
    node_reasons,
    reasons,
    report,
    weights_reasons,
)
from workspace_operator.status.finding import Reason

from tests.builders import (
    AWS,
    BYO,
    at,
    claim,
    node,
    planned,
    pod,
    workspace,
)
from tests.builders.situations import NOW, ROWS, SERVING, Row, told, world


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


def test_a_machine_of_another_cloud_is_questioned_where_the_user_reads_why_it_does_not_come() -> (
    None
):
    new = next(row for row in ROWS if row.name == "claim is new")
    _, status = told(replace(new, settings=AWS))
    ready = status.condition("Ready")
    assert ready
    assert "is a machine of azure, and this operator asks aws for machines" in ready.message
    assert "delete this Workspace and apply one with the right type" in ready.message


def test_every_reason_is_in_the_table() -> None:
    """A cause that nobody can show to happen has no place in the file of reasons."""
    modules = (reasons, event_reasons, node_reasons, weights_reasons)
    everything = [each for module in modules for each in vars(module).values()]
    known = {each.word for each in everything if isinstance(each, Reason)}
    apart = {"InvalidSpec", "UnknownPreset", "PlanRefused", "PlanOnly", "Deleting"}  # tested below
    apart |= {"RollingOut", "BackedOut"}  # tested with the rollout
    reached = {row.reason for row in ROWS}
    assert known - apart <= reached
    assert len(reached) >= 25


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
