"""What is told of a tuning whose wish is refused while its Job goes on, or after it has ended."""

import pytest
from workspace_operator.api import InvalidSpec, Workspace, WorkspaceStatus
from workspace_operator.plan import PlanError
from workspace_operator.snapshot import Snapshot, TrainingAnswer
from workspace_operator.status import report, report_invalid, requeue_after_seconds

from tests.builders import SETTINGS, Manifest, at, claim, node, pod, running
from tests.builders.situations.trainings import AT_STEP_20, LAST_WORDS, MADE, NAMED, NOW, done
from tests.builders.tunings import job, tuning, tuning_plan

MISTAKE = PlanError("ConfigInvalid", "ConfigMap team/lora-params, LoraConfg: write LoraConfig")
GOES_ON = "The tuning goes on as it was begun before that."
STANDS = "What was trained before that stands."
RUNNING = pod(state=running())


def held(*pods: Manifest, live: Manifest | None, answer: TrainingAnswer | None = None) -> Snapshot:
    return Snapshot.parse(
        node_claims=[claim()],
        nodes=[node()],
        pods=pods,
        job=live,
        trainings={"mistral-a": answer} if answer else {},
    )


def refused(
    snapshot: Snapshot, before: Snapshot | None = None
) -> tuple[Workspace, WorkspaceStatus]:
    """Return a tuning that was well in its place, and what is told when its wish goes wrong."""
    status = report(MADE, tuning_plan(MADE), before or snapshot, NOW)
    made = tuning(status).model_copy(update={"generation": MADE.generation + 1})
    return made, report(made, MISTAKE, snapshot, at(400))


def verdict(status: WorkspaceStatus, kind: str) -> tuple[str, str]:
    found = status.condition(kind)
    assert found
    return found.status, found.reason


def message(status: WorkspaceStatus, kind: str) -> str:
    found = status.condition(kind)
    assert found
    return found.message


def test_a_job_that_trains_has_started_and_goes_on() -> None:
    snapshot = held(RUNNING, live=NAMED, answer=AT_STEP_20)
    made, status = refused(snapshot)
    assert verdict(status, "PlanFits") == ("False", "ConfigInvalid")
    assert verdict(status, "JobStarted") == ("True", "WorkspaceTuningJobStatusStarted")
    assert verdict(status, "ResourceReady")[0] == "True"
    assert verdict(status, "WorkspaceSucceeded") == ("False", "workspacePending")
    assert verdict(status, "Ready") == ("False", "ConfigInvalid")
    assert verdict(status, "Stalled") == ("True", "ConfigInvalid")
    assert message(status, "Ready").endswith(GOES_ON)
    assert (status.state, status.phase) == ("Running", "Invalid")
    assert status.tuning
    assert status.tuning.step == 20
    assert status.progress == "step 20 of 100, loss 1.2346, 77 s left"
    again = made.model_copy(update={"status": status})
    assert report(again, MISTAKE, snapshot, at(500)) == status


def test_its_figures_go_on_too() -> None:
    """An alert of a training without steps is told by them."""
    made, status = refused(held(RUNNING, live=NAMED, answer=AT_STEP_20))
    later = held(RUNNING, live=NAMED, answer=TrainingAnswer(phase="training", step=60, steps=100))
    now = report(made.model_copy(update={"status": status}), MISTAKE, later, at(500))
    assert now.tuning
    assert now.tuning.step == 60
    unknown = now.model_copy(
        update={
            "conditions": tuple(
                each.model_copy(update={"reason": "UnknownPreset"})
                if each.type == "PlanFits"
                else each
                for each in now.conditions
            )
        }
    )
    assert requeue_after_seconds(unknown, at(500), SETTINGS) == 5.0


def test_a_job_between_two_tries_runs_no_pod() -> None:
    _, status = refused(held(live=NAMED), before=held(RUNNING, live=NAMED, answer=AT_STEP_20))
    assert verdict(status, "JobStarted") == ("False", "WorkspaceTuningJobStatusPending")
    assert status.state == "Running"
    assert message(status, "Ready").endswith(GOES_ON)


def test_what_has_succeeded_stays_so() -> None:
    ended = held(done(0, LAST_WORDS, "Completed"), live=job(MADE, "Complete"))
    _, status = refused(ended)
    assert verdict(status, "JobStarted")[0] == "True"
    assert verdict(status, "WorkspaceSucceeded") == ("True", "workspaceSucceeded")
    assert verdict(status, "Ready") == ("False", "ConfigInvalid")
    assert message(status, "Ready").endswith(STANDS)
    assert (status.state, status.phase) == ("Succeeded", "Invalid")


def test_what_has_failed_stays_so_in_its_own_words() -> None:
    ended = held(done(1, "no column text"), live=job(MADE, "Failed", message="PodFailurePolicy"))
    _, status = refused(ended)
    assert verdict(status, "JobStarted") == ("False", "WorkspaceTuningJobStatusFailed")
    assert "no column text" in message(status, "JobStarted")
    assert verdict(status, "WorkspaceSucceeded") == ("False", "workspaceFailed")
    assert status.state == "Failed"
    unheard = report(MADE, MISTAKE, ended, at(400))
    assert "PodFailurePolicy" in message(unheard, "JobStarted")


@pytest.mark.parametrize("of_another", [True, False])
def test_without_a_job_of_its_own_nothing_has_started(*, of_another: bool) -> None:
    owner: Manifest = {"uid": "somebody", "controller": True}
    other = {**NAMED, "metadata": {**NAMED["metadata"], "ownerReferences": [owner]}}
    status = report(MADE, MISTAKE, held(live=other if of_another else None), at(400))
    assert verdict(status, "JobStarted") == ("False", "WorkspaceTuningJobStatusPending")
    assert message(status, "JobStarted").startswith("The tuning has not started")
    assert status.state == "Pending"


def test_a_manifest_that_cannot_be_read_any_more_ends_no_training() -> None:
    snapshot = held(RUNNING, live=NAMED, answer=AT_STEP_20)
    before = report(MADE, tuning_plan(MADE), snapshot, NOW)
    problem = InvalidSpec("tuning.method", "'qdora' is not accepted")
    status = report_invalid(problem, 4, before, snapshot, at(400))
    assert verdict(status, "SpecValid")[0] == "False"
    assert verdict(status, "JobStarted")[0] == "True"
    assert status.state == "Running"
    assert report_invalid(problem, 4, status, snapshot, at(500)) == status
