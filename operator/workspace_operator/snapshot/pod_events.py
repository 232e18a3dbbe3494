"""
Read from a pod's Events what its own status does not say: why it waits.

A volume that cannot be mounted, a network that cannot be set up, a probe that fails: the kubelet
says these in Events alone. Events are repeated, counted and spelt anew at each try, so what is read
here is picked and cleaned in such a way that the same trouble always gives the same words.

Invariant: the same trouble gives the same warning, however often it is repeated, and whichever of
two alternating complaints came last. Must not import anything above `snapshot`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from workspace_operator.snapshot.pods import Pod
from workspace_operator.snapshot.reading import Manifest, earliest, moment, section, text

# A pod's volumes are mounted, its network is up, its image is found within seconds, or not.
PATIENCE = timedelta(seconds=10)
# A program of the user's own may take a while before its probe succeeds.
OWN_PATIENCE = timedelta(seconds=30)
# The kubelet repeats what lasts: at first each time, later in a single Event every few minutes.
# Source: kubernetes/client-go, tools/record/events_cache.go (refill of one in five minutes).
LASTS = timedelta(minutes=6)
# Names of a sandbox or a container, another one at each try.
_OF_ONE_TRY = re.compile(r"\b[0-9a-f]{32,}\b")
PULL_ERROR = "ErrImagePull"
MOST_CHARACTERS = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class PodWarning:
    """Hold what an Event said about a pod."""

    reason: str
    message: str


def is_unexplained(pod: Pod, now: datetime, *, own_program: bool) -> bool:
    """
    Say whether a pod waits for something that its own status does not name.

    Args:
        pod: The pod.
        now: The present.
        own_program: Whether it runs what the user brought, which cannot be asked how far it is.
    """
    if pod.deleting or pod.ready or pod.phase in {"Failed", "Succeeded"}:
        return False
    if pod.running:
        return own_program and _since(pod.started, now) >= OWN_PATIENCE
    if not pod.node:
        verdict = pod.scheduled
        silent = verdict is None or (verdict.status == "False" and not verdict.message)
        return silent and _since(pod.created, now) >= PATIENCE
    if pod.waiting_reason == "ImagePullBackOff":
        return PULL_ERROR not in pod.waiting_message
    return waits_for_its_sandbox(pod) and _since(_placed(pod), now) >= PATIENCE


def waits_for_its_sandbox(pod: Pod) -> bool:
    """
    Say whether volumes or network of a pod are not there yet.

    Source: kubernetes.io, "Pod Lifecycle", Pod network readiness: the sandbox comes after volumes.
    """
    sandbox = pod.conditions.get("PodReadyToStartContainers")
    return sandbox is not None and not sandbox.is_true and not pod.running and bool(pod.node)


def warning_in(events: Iterable[Manifest]) -> PodWarning | None:
    """Return the complaint that began first among those that last."""
    complaints = [
        (_first(each), _words(text(each.get("message"))), text(each.get("reason")), _last(each))
        for each in events
        if text(each.get("type")) == "Warning" and text(each.get("message"))
    ]
    newest = max((last for *_, last in complaints if last is not None), default=None)
    lasting = [
        (began or last, message, reason)
        for began, message, reason, last in complaints
        if last is not None and newest is not None and newest - last <= LASTS
    ]
    if not lasting:
        return None
    _, message, reason = min(lasting)
    return PodWarning(reason=reason, message=message)


def _placed(pod: Pod) -> datetime | None:
    return pod.scheduled.since if pod.scheduled else None


def _since(moment: datetime | None, now: datetime) -> timedelta:
    return now - moment if moment else timedelta(0)


def _first(event: Manifest) -> datetime | None:
    return earliest([moment(event.get(key)) for key in ("firstTimestamp", "eventTime")])


def _last(event: Manifest) -> datetime | None:
    created = section(event, "metadata").get("creationTimestamp")
    repeated = section(event, "series").get("lastObservedTime")
    told = (repeated, event.get("lastTimestamp"), event.get("eventTime"), created)
    return max((each for each in map(moment, told) if each is not None), default=None)


def _words(message: str) -> str:
    return _OF_ONE_TRY.sub("…", message)[:MOST_CHARACTERS]
