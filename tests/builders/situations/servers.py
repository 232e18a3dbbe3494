"""Situations in which a server starts, fails, loads, or is asked for a token."""

from typing import Any

from workspace_operator.snapshot import ModelAnswer

from tests.builders import (
    Manifest,
    claim,
    ended,
    node,
    pod,
    running,
    waiting,
)
from tests.builders.situations.row import SERVES, Row


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
        name="the server measured too little room for its context",
        reason="GPUOutOfMemory",
        says="Take an instance type with more GPU memory",
        phase="LoadingWeights",
        failed=True,
        pods=crashed("the GPU has room for 96 tokens beside the weights, one sequence needs 4,096"),
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
        name="the GPU was lost under the server",
        reason="GPUDeviceLost",
        says="lost the GPU of node node-1 (exit code 71): Xid 79",
        phase="StartingServer",
        pods=crashed("Xid 79", code=71),
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
