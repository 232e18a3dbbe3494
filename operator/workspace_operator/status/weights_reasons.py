"""
Hold the reasons of weights that are fetched when a pod starts, by how the fetching ended.

Invariant as in `reasons`. Must not import anything of this package but `reasons` and `finding`.
"""

from collections.abc import Mapping

from model_presets.ends import End

from workspace_operator.status import reasons
from workspace_operator.status.finding import Finding, Reason, quoted

KILLED = frozenset({137, 143})  # 128 + SIGKILL, + SIGTERM

FETCHING_WEIGHTS = Reason(
    word="FetchingWeights",
    sentence="Pod {pod} is fetching the weights from the model hub.",
    phase="FetchingWeights",
)
REVISION_NOT_FOUND = Reason(
    word="RevisionNotFound",
    sentence="The model hub does not have what pod {pod} asked for: {quote}. Check the preset's "
    "repo and revision, and the chart's hubEndpoint.",
    phase="FetchingWeights",
    failed=True,
)
HUB_UNREACHABLE = Reason(
    word="HubUnreachable",
    sentence="Pod {pod} cannot reach the model hub, or the hub is unwell: {quote}. It is tried "
    "again, and goes on where it was. Check the way out of the cluster, and the chart's "
    "hubEndpoint where a mirror is to be asked.",
    phase="FetchingWeights",
    failed=True,
)
WRONG_BYTES = Reason(
    word="WrongBytes",
    sentence="Pod {pod} was given other bytes than the hub states of the pinned revision: {quote}. "
    "The file is fetched anew; mend a mirror that gives the same again.",
    phase="FetchingWeights",
    failed=True,
)
FETCH_DISK_FULL = Reason(
    word=reasons.DISK_FULL.word,
    sentence="The disk of node {node} has no room for the weights of pod {pod}: {quote}. Take an "
    "instance type with a larger disk: status.plan.disk says how much is needed.",
    phase="FetchingWeights",
    failed=True,
)
FETCH_BROKE = Reason(
    word=reasons.DATA_NOT_FETCHED.word,
    sentence="The container of pod {pod} that fetches the weights ended with exit code {code}: "
    "{quote}. It is started again and goes on where it was; details: kubectl logs {pod} "
    "-c fetch-weights --previous.",
    phase="FetchingWeights",
    failed=True,
)

BY_END: Mapping[int, Reason] = {
    End.NO_ACCESS: reasons.MODEL_ACCESS_DENIED,
    End.NOT_THERE: REVISION_NOT_FOUND,
    End.DISK_FULL: FETCH_DISK_FULL,
    End.UNREACHABLE: HUB_UNREACHABLE,
    End.WRONG_BYTES: WRONG_BYTES,
}


def broken(pod: str, code: int, reason: str, message: str) -> Finding:
    """Explain an end without a code of its own; who is killed has no last words but a log."""
    words = message or reason
    if code in KILLED:
        words = "it was killed" if reason == "Error" else reason
    return FETCH_BROKE.found(pod=pod, code=code, quote=quoted(words))
