"""The truth about a tuning: one row per situation, and what the user is told in it."""

from dataclasses import replace
from typing import Any

import pytest
from workspace_operator.api import TrainingStatus, WorkspaceStatus
from workspace_operator.snapshot import Snapshot
from workspace_operator.status import report, requeue_after_seconds, training_reasons
from workspace_operator.status.finding import Reason

from tests.builders import (
    SETTINGS,
    claim,
)
from tests.builders.situations.trainings import (
    LAST_WORDS,
    MADE,
    NAMED,
    NOW,
    PENDING,
    ROWS,
    STARTED,
    UPLOADING,
    Row,
    done,
)
from tests.builders.tunings import job, tuning, tuning_plan


def told(row: Row, before: WorkspaceStatus | None = None) -> WorkspaceStatus:
    made = tuning(before, **row.facts)
    answers = {"mistral-a": row.answer} if row.answer else {}
    snapshot = Snapshot.parse(
        node_claims=[claim(steps=3 if row.nodes else 1)],
        nodes=row.nodes,
        pods=row.pods,
        job=row.job,
        trainings=answers,
    )
    return report(made, tuning_plan(made), snapshot, NOW)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_user_is_told(row: Row) -> None:
    status = told(row)
    ready, whole = status.condition("Ready"), status.condition("WorkspaceSucceeded")
    started = status.condition("JobStarted")
    assert ready
    assert whole
    assert started
    if row.nodes:
        assert ready.reason == row.reason, ready.message
        assert status.phase == row.phase
    assert row.says in ready.message
    assert (status.state, started.reason) == (row.state, row.started)
    assert started.status == ("True" if row.started == STARTED else "False")
    assert whole.reason == ("workspaceFailed" if row.failed else "workspacePending")
    assert status.progress == (row.reason if row.failed else row.progress)
    assert status.condition("InferenceReady") is None
    assert status.endpoint is None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_report_on_top_of_itself_changes_nothing(row: Row) -> None:
    status = told(row)
    assert told(row, status) == status


def test_every_reason_is_in_the_table() -> None:
    known = {each.word for each in vars(training_reasons).values() if isinstance(each, Reason)}
    assert known <= {row.reason for row in ROWS}


SUCCEEDED = Row(
    name="it is done",
    reason="Ready",
    says="the tuning has succeeded",
    phase="Succeeded",
    state="Succeeded",
    started=STARTED,
    job=job(MADE, "Complete"),
    pods=(done(0, LAST_WORDS, "Completed"),),
)


def test_success_is_told_with_its_figures() -> None:
    status = told(SUCCEEDED)
    whole = status.condition("WorkspaceSucceeded")
    assert whole
    assert (whole.status, whole.reason) == ("True", "workspaceSucceeded")
    assert (status.state, status.phase) == ("Succeeded", "Succeeded")
    assert status.tuning == TrainingStatus(
        phase="succeeded", step=100, steps=100, loss=0.25, first_loss=4.5
    )
    assert status.progress == "step 100 of 100, loss 0.25"


def test_success_names_the_repository_too() -> None:
    status = told(replace(SUCCEEDED, job=job(tuning(**UPLOADING), "Complete"), facts=UPLOADING))
    ready = status.condition("Ready")
    assert ready
    assert ready.message == (
        "the tuning has succeeded: the adapter is in the volume of tuning.output, "
        "and in repository team/style"
    )


def test_success_stays_when_pods_and_nodes_go() -> None:
    status = told(SUCCEEDED)
    later = told(replace(SUCCEEDED, pods=(), nodes=()), status)
    whole = later.condition("WorkspaceSucceeded")
    assert whole
    assert whole.status == "True"
    assert later.tuning == status.tuning


def test_without_last_words_the_last_figures_stay() -> None:
    before = told(ROWS[8])
    status = told(replace(SUCCEEDED, pods=()), before)
    assert status.tuning
    assert (status.tuning.phase, status.tuning.step) == ("succeeded", 20)


def test_a_program_that_is_silent_for_once_is_not_at_its_start() -> None:
    """Its last breath takes a second or two, in which nobody answers."""
    before = told(ROWS[8])
    silent = told(replace(ROWS[8], answer=None), before)
    assert (silent.phase, silent.progress, silent.tuning) == (
        before.phase,
        before.progress,
        before.tuning,
    )
    again = told(replace(ROWS[8], answer=None, pods=(done(70, "boom"), *ROWS[8].pods)), before)
    assert again.phase == "StartingTraining", "the second try has said nothing yet"


@pytest.mark.parametrize("code", [0, 1])
def test_a_pod_that_an_earlier_job_has_left_says_nothing_of_this_one(code: int) -> None:
    """The garbage collector takes it a moment after the next Job was made."""
    left = done(code, LAST_WORDS if code == 0 else "LoraConfig.rr: unknown key")
    earlier = {"uid": "uid-of-an-earlier-job", "controller": True}
    left["metadata"]["ownerReferences"] = [earlier]
    status = told(replace(SUCCEEDED, job=NAMED, pods=(left,)))
    started = status.condition("JobStarted")
    assert started
    assert (started.status, started.reason) == ("False", PENDING)
    assert (status.state, status.tuning) == ("Pending", None)
    left["metadata"]["ownerReferences"] = [{**earlier, "uid": NAMED["metadata"]["uid"]}]
    assert told(replace(SUCCEEDED, job=NAMED, pods=(left,))).state != "Pending"


def test_machines_that_were_given_back_are_not_missed() -> None:
    facts: dict[str, Any] = {"annotations": {"atelier.dev/release-nodes-when-done": "true"}}
    row = replace(SUCCEEDED, job=job(tuning(**facts), "Complete"), nodes=(), facts=facts)
    status = told(row, told(row))
    resource = status.condition("ResourceReady")
    assert resource
    assert resource.message == "the machines were given back"
    assert status.node_attempts == ()
    assert status.condition("NodeClaimReady") is None


def test_another_training_begins_without_the_figures_of_the_last() -> None:
    other = {"input": {"urls": ["https://example.com/more"]}}
    status = told(replace(SUCCEEDED, facts=other, pods=()), told(SUCCEEDED))
    assert status.tuning is None
    assert status.state == "Pending"


def test_a_training_is_looked_at_every_five_seconds_and_a_done_one_is_not() -> None:
    assert requeue_after_seconds(told(ROWS[8]), NOW, SETTINGS) == 5
    assert requeue_after_seconds(told(SUCCEEDED), NOW, SETTINGS) == SETTINGS.resync_seconds
