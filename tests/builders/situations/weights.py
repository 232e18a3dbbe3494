"""Situations of weights that are fetched when the pod starts."""

from model_presets.ends import End
from workspace_operator.snapshot import ModelAnswer

from tests.builders import Manifest, ended, pod, running, waiting
from tests.builders.situations.row import Row

FETCHES = {"annotations": {"atelier.dev/weights": "fetch"}}


def fetcher(end: Manifest | None = None, *, again: bool = False) -> Manifest:
    """Return a pod whose init container is at work, or has failed with this end."""
    state = running() if again or end is None else waiting("CrashLoopBackOff", "back-off")
    status = {"name": "fetch-weights", "state": state}
    if end is not None:
        status["lastState"] = {"terminated": end}
    return pod(initContainerStatuses=[status])


def failed(name: str, code: int, reason: str, words: str, says: str) -> Row:
    return Row(
        name=name,
        reason=reason,
        says=says,
        phase="LoadingWeights" if reason == "ModelAccessDenied" else "FetchingWeights",
        failed=True,
        facts=FETCHES,
        pods=(fetcher(ended(code, message=words)),),
    )


HALF = ModelAnswer(
    phase="fetching", bytes_loaded=7, bytes_total=14_483_464_192, bytes_per_second=10
)

ROWS = [
    Row(
        name="weights are being fetched",
        reason="FetchingWeights",
        says="is fetching the weights from the model hub",
        phase="FetchingWeights",
        facts=FETCHES,
        pods=(fetcher(),),
        answers={"mistral-a": HALF},
        conditions={"ImagePulled": "True", "WeightsLoaded": "False"},
    ),
    Row(
        name="weights go on being fetched after a failure",
        reason="FetchingWeights",
        says="is fetching the weights",
        phase="FetchingWeights",
        facts=FETCHES,
        pods=(fetcher(ended(End.UNREACHABLE, message="no way"), again=True),),
        answers={"mistral-a": HALF},
    ),
    Row(
        name="the hub is asked again, and has given nothing yet",
        reason="HubUnreachable",
        says="cannot reach the model hub, or the hub is unwell: no way",
        phase="FetchingWeights",
        failed=True,
        facts=FETCHES,
        pods=(fetcher(ended(End.UNREACHABLE, message="no way"), again=True),),
        answers={"mistral-a": ModelAnswer(phase="fetching")},
    ),
    failed(
        "the hub wants a token",
        End.NO_ACCESS,
        "ModelAccessDenied",
        "HTTP 401: no access",
        "HTTP 401: no access. Accept the model's licence there and put a token into the Secret",
    ),
    failed(
        "the hub has no such revision",
        End.NOT_THERE,
        "RevisionNotFound",
        "HTTP 404: not there",
        "HTTP 404: not there. Check the preset's repo and revision",
    ),
    failed(
        "no room for the weights",
        End.DISK_FULL,
        "DiskFull",
        "/models/weights: 1.00 GB free, 14.48 GB to come; make room",
        "disk of node node-1 has no room for the weights",
    ),
    failed(
        "the hub gave other bytes",
        End.WRONG_BYTES,
        "WrongBytes",
        "model.safetensors: SHA-256 00, expected 11",
        "other bytes than the hub states of the pinned revision: model.safetensors: SHA-256 00",
    ),
    Row(
        name="the fetching of weights broke in an unknown way",
        reason="DataNotFetched",
        says="ended with exit code 139: Segmentation fault. It is started again",
        phase="FetchingWeights",
        failed=True,
        facts=FETCHES,
        pods=(fetcher(ended(139, message="Segmentation fault")),),
    ),
    Row(
        name="who fetches the weights is killed, and its log knows nothing of it",
        reason="DataNotFetched",
        says="ended with exit code 137: it was killed. It is started again and goes on",
        phase="FetchingWeights",
        failed=True,
        facts=FETCHES,
        pods=(fetcher(ended(137, message="0.72 GB of 14.48 GB, 100.0 MB/s, 137 s left")),),
    ),
    Row(
        name="who fetches the weights has no memory left",
        reason="DataNotFetched",
        says="ended with exit code 137: OOMKilled",
        phase="FetchingWeights",
        failed=True,
        facts=FETCHES,
        pods=(fetcher(ended(137, "OOMKilled", "converting pytorch_model-00001.bin")),),
    ),
]
