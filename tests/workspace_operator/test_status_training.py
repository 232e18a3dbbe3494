"""The truth about a tuning: one row per situation, and what the user is told in it."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from workspace_operator.api import TrainingStatus, WorkspaceStatus
from workspace_operator.snapshot import Snapshot, TrainingAnswer
from workspace_operator.status import report, requeue_after_seconds, training_reasons
from workspace_operator.status.finding import Reason

from tests.builders import (
    SETTINGS,
    Manifest,
    at,
    claim,
    ended,
    node,
    pod,
    running,
    waiting,
)
from tests.builders.tunings import job, tuning, tuning_plan

NOW = at(300)
AT_STEP_20 = TrainingAnswer(
    phase="training",
    step=20,
    steps=100,
    loss=1.23456,
    first_loss=4.5,
    tokens_per_second=812.34,
    seconds_left=77,
)
MADE = tuning()
NAMED = job(MADE)


def done(code: int, message: str = "", reason: str = "Error") -> Manifest:
    """Return a pod whose training has ended."""
    return pod(
        state={"terminated": ended(code, reason, message)},
        phase="Failed" if code else "Succeeded",
    )


def not_fetched(message: str) -> Manifest:
    init = {"name": "fetch-data", "state": {"terminated": ended(1, message=message)}}
    return pod(phase="Failed", initContainerStatuses=[init])


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    reason: str
    says: str
    phase: str
    state: str
    started: str
    failed: bool = False
    job: Manifest | None = None
    pods: tuple[Manifest, ...] = ()
    nodes: tuple[Manifest, ...] = (node(),)
    answer: TrainingAnswer | None = None
    progress: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


PENDING = "WorkspaceTuningJobStatusPending"
STARTED = "WorkspaceTuningJobStatusStarted"
FAILED = "WorkspaceTuningJobStatusFailed"


def at_work(phase: str, reason: str, shown: str, says: str) -> Row:
    return Row(
        name=f"the program is {phase or 'starting'}",
        reason=reason,
        says=says,
        phase=shown,
        state="Running",
        started=STARTED,
        job=NAMED,
        pods=(pod(state=running()),),
        answer=replace(AT_STEP_20, phase=phase) if phase else None,
        progress="step 20 of 100, loss 1.2346" if phase else None,
    )


ROWS = [
    Row(
        name="the node is on its way",
        reason="NodeNotReady",
        says="",
        phase="JoiningCluster",
        state="Pending",
        started=PENDING,
        nodes=(),
    ),
    Row(
        name="the Job is being made",
        reason=PENDING,
        says="Job mistral has made no pod yet",
        phase="Scheduling",
        state="Pending",
        started=PENDING,
    ),
    Row(
        name="the pod fits nowhere",
        reason="Unschedulable",
        says="fits on no node",
        phase="Scheduling",
        state="Pending",
        started=PENDING,
        job=NAMED,
        pods=(
            pod(
                placed=False,
                conditions=[
                    {"type": "PodScheduled", "status": "False", "message": "0/1 nodes"},
                ],
            ),
        ),
    ),
    Row(
        name="the image cannot be pulled",
        reason="ImagePullError",
        says="cannot pull image atelier/mistral-7b-instruct-tuning:1.2.3: not found",
        phase="PullingImage",
        state="Pending",
        started=PENDING,
        failed=True,
        job=NAMED,
        pods=(pod(state=waiting("ImagePullBackOff", "not found")),),
    ),
    Row(
        name="the data is being fetched",
        reason="FetchingData",
        says="is getting data",
        phase="FetchingData",
        state="Pending",
        started=PENDING,
        job=NAMED,
        pods=(pod(initContainerStatuses=[{"name": "fetch-data", "state": running()}]),),
    ),
    at_work("", PENDING, "StartingTraining", "is starting"),
    replace(at_work("loading", "LoadingWeights", "LoadingWeights", "is loading the base model")),
    at_work("preparing", "PreparingData", "PreparingData", "is reading the data"),
    replace(
        at_work("training", "Training", "Training", "status.tuning has the figures"),
        progress="step 20 of 100, loss 1.2346, 77 s left",
    ),
    at_work("saving", "Saving", "Saving", "is writing the adapter"),
    at_work("pushing", "Pushing", "Pushing", "the volume of tuning.output"),
    Row(
        name="a try has ended, the next pod is not there yet",
        reason="TrainingRetried",
        says="ended with exit code 70: RuntimeError: boom. It is tried again",
        phase="Retrying",
        state="Pending",
        started=PENDING,
        job=NAMED,
        pods=(done(70, "RuntimeError: boom"),),
    ),
    Row(
        name="the program refuses",
        reason="TrainingRefused",
        says="LoraConfig.rr: unknown key; did you mean r?",
        phase="Failed",
        state="Failed",
        started=FAILED,
        failed=True,
        job=job(MADE, "Failed"),
        pods=(done(1, "LoraConfig.rr: unknown key; did you mean r?"),),
    ),
    Row(
        name="the program refuses, and the Job has not failed yet",
        reason="TrainingRefused",
        says="no files",
        phase="Failed",
        state="Failed",
        started=FAILED,
        failed=True,
        job=NAMED,
        pods=(done(1, "no files"),),
    ),
    Row(
        name="the data cannot be had",
        reason="TrainingRefused",
        says="https://example.com: 404",
        phase="Failed",
        state="Failed",
        started=FAILED,
        failed=True,
        job=job(MADE, "Failed"),
        pods=(not_fetched("https://example.com: 404"),),
    ),
    Row(
        name="it failed for good",
        reason="TrainingFailed",
        says="the last time with exit code 70: RuntimeError: boom",
        phase="Failed",
        state="Failed",
        started=FAILED,
        failed=True,
        job=job(MADE, "Failed"),
        pods=(done(70, "RuntimeError: boom"),),
    ),
    Row(
        name="it was killed for its memory",
        reason="ContainerOOMKilled",
        says="more host memory than its limit",
        phase="Failed",
        state="Failed",
        started=FAILED,
        failed=True,
        job=job(MADE, "Failed"),
        pods=(done(137, reason="OOMKilled"),),
    ),
    Row(
        name="the GPU is too small",
        reason="GPUOutOfMemory",
        says="CUDA out of memory",
        phase="Failed",
        state="Failed",
        started=FAILED,
        failed=True,
        job=job(MADE, "Failed"),
        pods=(done(70, "OutOfMemoryError: CUDA out of memory. Tried to allocate"),),
    ),
    Row(
        name="it failed and its pods are gone",
        reason="TrainingFailed",
        says="Job mistral was given up: Job has reached the specified backoff limit",
        phase="Failed",
        state="Failed",
        started=FAILED,
        failed=True,
        job=job(MADE, "Failed", message="Job has reached the specified backoff limit"),
    ),
]


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


LAST_WORDS = json.dumps(
    {"phase": "succeeded", "step": 100, "steps": 100, "loss": 0.25, "first_loss": 4.5}
)
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
