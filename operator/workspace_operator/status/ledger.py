"""
Keep the ledger of a start: how many seconds each phase took, and how far the present one is.

Every figure is the distance between two moments that the cluster or the server wrote down; the
operator's own clock takes no part, so a pass more or less changes nothing. Phases add up to the
total. Once the first token has been generated the ledger is closed: it speaks of that start.

Must not import checks or the ladder.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from workspace_operator.api import Download, Startup
from workspace_operator.instance_types import GIB
from workspace_operator.snapshot import NodeClaim, Pod
from workspace_operator.status.evidence import Evidence
from workspace_operator.status.finding import Finding

PHASES = (
    "node_launched",
    "node_registered",
    "gpu_visible",
    "image_pulled",
    "weights_fetched",
    "weights_loaded",
    "first_token",
)
_CLAIM_STEPS = {
    "node_launched": "Launched",
    "node_registered": "Registered",
    "gpu_visible": "Initialized",
}


def startup(evidence: Evidence) -> Startup | None:
    """
    Return the ledger as far as it can be written now.

    A phase ends when it ended first: a fetch that was killed and began again, a pod or a machine
    that was replaced, moves nothing that was written, so what it cost is in the phase that waited.
    """
    before = evidence.workspace.status.startup
    began = evidence.workspace.creation_timestamp
    if began is None or (before is not None and before.total is not None):
        return before
    written = before.model_dump(exclude_none=True) if before else {}
    seconds: dict[str, float] = {}
    last = began
    for phase, seen in _moments(evidence):
        ends = [] if seen is None else [seen]
        if phase in written:
            ends.append(last + timedelta(seconds=written[phase]))
        if ends:
            end = max(last, min(ends))
            seconds[phase] = round((end - last).total_seconds(), 1)
            last = end
    if PHASES[-1] in seconds:
        seconds["total"] = round((last - began).total_seconds(), 1)
    return Startup(**seconds) if seconds else None


def download(evidence: Evidence) -> Download | None:
    """Return how far the weights are, while they are fetched or a server is loading them."""
    for pod in evidence.pods:
        answer = evidence.answer(pod)
        if answer.phase in {"fetching", "loading"} and answer.bytes_total:
            speed = _bytes_per_second(evidence, pod)
            left = max(0, answer.bytes_total - answer.bytes_loaded)
            return Download(
                bytes=answer.bytes_loaded,
                total_bytes=answer.bytes_total,
                bytes_per_second=speed,
                seconds_left=round(left / speed) if speed else None,
            )
    return None


def loading_progress(finding: Finding, evidence: Evidence, pod: Pod) -> Finding:
    """Return the finding with figures for the user's eyes."""
    answer = evidence.answer(pod)
    if not answer.bytes_total:
        return finding
    share = 100 * answer.bytes_loaded // answer.bytes_total
    text = f"{share} % of {answer.bytes_total / GIB:.1f} GiB"
    speed = _bytes_per_second(evidence, pod)
    if speed:
        left = round(max(0, answer.bytes_total - answer.bytes_loaded) / speed)
        text += f", {left} s left"
    return replace(finding, progress=text)


def _bytes_per_second(evidence: Evidence, pod: Pod) -> int | None:
    answer = evidence.answer(pod)
    if answer.bytes_per_second:
        return answer.bytes_per_second
    if pod.started is None or not answer.bytes_loaded:
        return None
    began = pod.started + timedelta(seconds=answer.seconds.get("import", 0.0))
    elapsed = (evidence.now - began).total_seconds()
    return round(answer.bytes_loaded / elapsed) if elapsed >= 1 else None


def _moments(evidence: Evidence) -> list[tuple[str, datetime | None]]:
    """Return when each phase ended; of several machines and pods the one that came first."""
    claim = _first_claim(evidence)
    moments: list[tuple[str, datetime | None]] = [
        (phase, _since(claim, step)) for phase, step in _CLAIM_STEPS.items()
    ]
    pod = (evidence.serving or evidence.pods or (None,))[0]
    started = pod.started if pod else None
    loaded = token = None
    if pod is not None and started is not None:
        seconds = evidence.answer(pod).seconds
        if "load" in seconds:
            loaded = started + timedelta(seconds=seconds.get("import", 0.0) + seconds["load"])
        if loaded is not None and "first_token" in seconds:
            token = loaded + timedelta(seconds=seconds["first_token"])
    return [
        *moments,
        ("image_pulled", (pod.fetch_began if pod else None) or started),
        ("weights_fetched", pod.weights_fetched if pod else None),
        ("weights_loaded", loaded),
        ("first_token", token),
    ]


def _first_claim(evidence: Evidence) -> NodeClaim | None:
    claims = [slot.claim for slot in evidence.slots.slots if slot.claim is not None]
    return claims[0] if claims else None


def _since(claim: NodeClaim | None, step: str) -> datetime | None:
    condition = claim.conditions.get(step) if claim else None
    return condition.since if condition is not None and condition.is_true else None
