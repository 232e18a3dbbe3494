"""What is told where the wish is refused: of the wish that it is, of what runs that it runs."""

import pytest
from model_presets.catalog import UnknownPreset
from workspace_operator.api import InvalidSpec, Workspace, WorkspaceStatus
from workspace_operator.plan import PlanError
from workspace_operator.snapshot import ModelAnswer, Snapshot
from workspace_operator.status import Outcome, report, report_invalid, requeue_after_seconds

from tests.builders import (
    BYO,
    SETTINGS,
    at,
    claim,
    node,
    planned,
    pod,
    running,
    waiting,
    workspace,
)
from tests.builders.situations import SERVING, told, world
from tests.builders.situations.row import SERVES
from tests.builders.situations.trainings import AT_STEP_20
from tests.builders.tunings import job, tuning, tuning_plan

CONFIG = PlanError("ConfigInvalid", "ConfigMap team/tuned, server.max-sequence: write it well")
UNKNOWN = UnknownPreset("mistral-7b-instruct", ())


def served_before() -> Workspace:
    """Return a Workspace of another generation that was Ready."""
    made, status = told(SERVING)
    return made.model_copy(update={"status": status, "generation": made.generation + 1})


def verdicts(status: WorkspaceStatus) -> dict[str, str]:
    return {each.type: each.status for each in status.conditions}


def said(status: WorkspaceStatus, kind: str) -> tuple[str, str]:
    found = status.condition(kind)
    assert found
    return found.reason, found.message


@pytest.mark.parametrize(
    ("outcome", "reason"), [(CONFIG, "ConfigInvalid"), (UNKNOWN, "UnknownPreset")]
)
def test_a_model_that_answers_is_served_and_what_is_asked_for_is_not(
    outcome: Outcome, reason: str
) -> None:
    made = served_before()
    status = report(made, outcome, world(SERVING), at(400))
    assert verdicts(status) == {
        "SpecValid": "True",
        "PlanFits": "False",
        "NodeClaimReady": "True",
        "NodesReady": "True",
        "ResourceReady": "True",
        "ImagePulled": "True",
        "WeightsLoaded": "True",
        "RolledOut": "False",
        "InferenceReady": "True",
        "WorkspaceSucceeded": "True",
        "Ready": "False",
        "Stalled": "True",
    }
    assert [said(status, kind)[0] for kind in ("PlanFits", "RolledOut", "Ready", "Stalled")] == (
        [reason] * 4
    )
    assert said(status, "Ready")[1].endswith("The model goes on answering as it was before that.")
    assert (status.state, status.phase) == ("Ready", "Invalid")
    assert status.model == made.status.model
    assert {each.observed_generation for each in status.conditions} == {made.generation}
    assert status.observed_generation == made.generation
    before = {each.type: each.last_transition_time for each in made.status.conditions}
    moved = {
        each.type
        for each in status.conditions
        if each.last_transition_time != before.get(each.type, at(400))
    }
    assert moved == {"PlanFits", "RolledOut", "Ready"}
    again = made.model_copy(update={"status": status})
    assert report(again, outcome, world(SERVING), at(500)) == status


def test_without_a_token_nothing_is_served() -> None:
    made = served_before()
    silent = Snapshot.parse(node_claims=[claim()], nodes=[node()], pods=SERVING.pods)
    status = report(made, CONFIG, silent, at(400))
    assert verdicts(status)["InferenceReady"] == "False"
    assert verdicts(status)["WorkspaceSucceeded"] == "False"
    assert status.state == "NotReady"
    assert "goes on" not in said(status, "Ready")[1]
    mended = report(made.model_copy(update={"status": status}), CONFIG, world(SERVING), at(500))
    assert mended.state == "Ready"
    assert verdicts(mended)["WorkspaceSucceeded"] == "True"


def test_a_machine_that_is_asked_for_and_not_there_is_missed() -> None:
    """The count was raised by the same edit: one of two serves, and that is not all."""
    made = served_before()
    resource = made.resource.model_copy(update={"count": 2})
    status = report(made.model_copy(update={"resource": resource}), CONFIG, world(SERVING), at(400))
    seen = verdicts(status)
    assert (seen["InferenceReady"], seen["ResourceReady"]) == ("True", "False")
    assert (seen["WorkspaceSucceeded"], seen["Ready"]) == ("False", "False")
    assert said(status, "WorkspaceSucceeded")[0] == "workspaceFailed"
    assert said(status, "Ready")[0] == "ConfigInvalid"


def test_a_node_that_is_down_is_not_ready_although_its_pod_says_so() -> None:
    made = served_before()
    down = Snapshot.parse(
        node_claims=[claim()],
        nodes=[node(ready=False)],
        pods=SERVING.pods,
        answers=SERVING.answers,
    )
    seen = verdicts(report(made, CONFIG, down, at(400)))
    assert (seen["NodesReady"], seen["ResourceReady"]) == ("False", "False")


def test_nodes_that_are_brought_have_no_claims() -> None:
    made = workspace(instance_type=None)
    snapshot = Snapshot.parse(
        nodes=[node(labels={"apps": "mistral"})],
        pods=[pod(state=running(), ready=True)],
        answers={"mistral-a": SERVES},
    )
    before = report(made, planned(made, BYO), snapshot, at(300))
    seen = verdicts(report(made.model_copy(update={"status": before}), CONFIG, snapshot, at(400)))
    assert "NodeClaimReady" not in seen
    assert seen["WorkspaceSucceeded"] == "True"


def test_a_manifest_that_cannot_be_read_any_more_takes_no_model_away() -> None:
    """A newer operator refuses what an older one took; only the pods can be looked at."""
    _, before = told(SERVING)
    problem = InvalidSpec("resource.count", "-1 is not accepted")
    runs = Snapshot.parse(node_claims=[claim()], pods=SERVING.pods, answers=SERVING.answers)
    status = report_invalid(problem, 4, before, runs, at(500))
    seen = verdicts(status)
    assert (seen["SpecValid"], seen["WorkspaceSucceeded"], seen["Ready"]) == (
        "False",
        "True",
        "False",
    )
    assert status.state == "Ready"
    assert report_invalid(problem, 4, status, runs, at(600)) == status


@pytest.mark.parametrize("at_work", [True, False])
def test_a_tuning_that_is_at_work_has_started_whatever_is_asked_for_now(*, at_work: bool) -> None:
    made = tuning()
    pods = [pod(state=running() if at_work else waiting("ContainerCreating"))]
    runs = Snapshot.parse(
        node_claims=[claim()],
        nodes=[node()],
        pods=pods,
        job=job(made),
        trainings={"mistral-a": AT_STEP_20},
    )
    before = report(made, tuning_plan(made), runs, at(300))
    broken = made.model_copy(update={"status": before})
    status = report(broken, CONFIG, runs, at(400))
    seen = verdicts(status)
    assert seen["JobStarted"] == ("True" if at_work else "False")
    assert status.state == ("Running" if at_work else "Pending")
    assert (seen["PlanFits"], seen["WorkspaceSucceeded"], seen["Ready"]) == ("False",) * 3
    assert said(status, "Ready")[0] == said(status, "Stalled")[0] == "ConfigInvalid"
    assert "The tuning goes on" in said(status, "Ready")[1], "its Job stands, pod or no pod"
    if at_work:
        machines = {kind: seen[kind] for kind in ("NodeClaimReady", "NodesReady", "ResourceReady")}
        assert set(machines.values()) == {"True"}
    again = broken.model_copy(update={"status": status})
    assert report(again, CONFIG, runs, at(500)) == status
    mended = report(again, tuning_plan(made), runs, at(500))
    assert verdicts(mended) == verdicts(before)


@pytest.mark.parametrize(
    ("outcome", "answer", "seconds"),
    [
        (CONFIG, SERVES, 10),
        (UNKNOWN, SERVES, SETTINGS.probe_interval_seconds),
        (UNKNOWN, ModelAnswer(), SETTINGS.resync_seconds),
    ],
)
def test_what_serves_is_asked_for_a_token_again(
    outcome: Outcome, answer: ModelAnswer, seconds: float
) -> None:
    made = served_before()
    runs = Snapshot.parse(
        node_claims=[claim()], nodes=[node()], pods=SERVING.pods, answers={"mistral-a": answer}
    )
    status = report(made, outcome, runs, at(400))
    assert requeue_after_seconds(status, at(400), SETTINGS) == seconds
