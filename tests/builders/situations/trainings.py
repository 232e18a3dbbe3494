"""Situations of a tuning, one row each, and what the user must be told in it."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

from workspace_operator.snapshot import TrainingAnswer

from tests.builders import (
    Manifest,
    at,
    ended,
    node,
    pod,
    running,
    waiting,
)
from tests.builders.tunings import job, tuning

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
UPLOADING: dict[str, Any] = {
    "annotations": {"atelier.dev/output-repository": "team/style"},
    "preset": {"name": "mistral-7b-instruct", "presetOptions": {"modelAccessSecret": "hub"}},
}


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


LAST_WORDS = json.dumps(
    {"phase": "succeeded", "step": 100, "steps": 100, "loss": 0.25, "first_loss": 4.5}
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
    replace(
        at_work("pushing", "Pushing", "Pushing", "tuning.output, and in repository team/style"),
        name="the adapter is uploaded to the hub",
        job=job(tuning(**UPLOADING)),
        facts=UPLOADING,
    ),
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
        name="it has ended well, and its Job does not say so yet",
        reason="Saving",
        says="has ended well; its Job is about to say so",
        phase="Saving",
        state="Running",
        started=STARTED,
        progress="step 100 of 100, loss 0.25",
        job=NAMED,
        pods=(done(0, LAST_WORDS, "Completed"),),
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
