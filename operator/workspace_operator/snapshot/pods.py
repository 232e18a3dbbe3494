"""
See a model pod, and what the model in it answered.

The container that serves the model is the first of the pod. How it ended last time (exit code, the
kubelet's reason, the sentence it left as termination message) survives in the pod's status while it
restarts, and is the best explanation that exists of a crash.

`ModelAnswer` is what the server in that pod said when it was asked; who asks, and how, is not
decided here. `token_generated` is the only proof of service: where the pods cannot be reached, the
asker sets it from the pod's own readiness.

Must not import anything above `snapshot`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from workspace_operator.snapshot.reading import (
    Manifest,
    ObservedCondition,
    conditions,
    integer,
    mappings,
    moment,
    section,
    strings,
    text,
)

# The hash of the pod template, which the operator puts on it; its beginning names the revision.
REVISION_ANNOTATION = "atelier.kaito.sh/config-hash"
REVISION_DIGITS = 12
# The init container that brings the weights, and speaks the server's contract meanwhile.
FETCH_WEIGHTS = "fetch-weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """
    Hold what one model server said about itself.

    `phase` is the server's own word (starting, loading, warming, ready, draining, failed), fetching
    where its weights are on their way, or empty if it could not be asked; `error` then says why.
    """

    ready: bool = False
    phase: str = ""
    bytes_loaded: int = 0
    bytes_total: int = 0
    bytes_per_second: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    model_name: str = ""
    model_revision: str = ""
    model_digest: str = ""
    error: str = ""
    token_generated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Termination:
    """Hold how a container ended."""

    exit_code: int
    reason: str = ""
    message: str = ""
    finished: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """
    Hold what the cluster says about one model pod.

    `volumes` names the objects that it mounts, `fetching` the init container that is bringing data
    now; `fetch_end` says how one failed, `failed_fetch` which. `fetch_began` and `weights_fetched`
    are the times of the one that brings the weights.
    """

    name: str
    uid: str = ""
    deleting: bool = False
    created: datetime | None = None
    ip: str = ""
    node: str = ""
    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: Mapping[str, ObservedCondition] = field(default_factory=dict)
    waiting_reason: str = ""
    waiting_message: str = ""
    started: datetime | None = None
    restarts: int = 0
    revision: str = ""
    last_end: Termination | None = None
    volumes: tuple[str, ...] = ()
    fetching: str = ""
    fetch_end: Termination | None = None
    failed_fetch: str = ""
    fetch_began: datetime | None = None
    weights_fetched: datetime | None = None

    @classmethod
    def parse(cls, manifest: Manifest) -> Self:
        """Read a Pod; the first container is the model server."""
        metadata = section(manifest, "metadata")
        status = section(manifest, "status")
        statuses = mappings(status.get("containerStatuses"))
        container = _first(manifest, statuses)
        state = section(container, "state")
        waiting = _waiting_init(status) or section(state, "waiting")
        failed_fetch, fetch_end = _failed_init(status)
        fetch_began, weights_fetched = _times_of_weights(status)
        return cls(
            name=text(metadata.get("name")),
            uid=text(metadata.get("uid")),
            deleting=bool(metadata.get("deletionTimestamp")),
            created=moment(metadata.get("creationTimestamp")),
            ip=text(status.get("podIP")),
            node=text(section(manifest, "spec").get("nodeName")),
            phase=text(status.get("phase")),
            reason=text(status.get("reason")),
            message=text(status.get("message")),
            conditions=conditions(manifest),
            waiting_reason=text(waiting.get("reason")),
            waiting_message=text(waiting.get("message")),
            started=moment(section(state, "running").get("startedAt")),
            restarts=integer(container.get("restartCount")),
            revision=strings(metadata.get("annotations")).get(REVISION_ANNOTATION, "")[
                :REVISION_DIGITS
            ],
            last_end=_end(section(state, "terminated"))
            or _end(section(container, "lastState", "terminated")),
            volumes=_borrowed(manifest),
            fetching=_running_init(status),
            fetch_end=fetch_end,
            failed_fetch=failed_fetch,
            fetch_began=fetch_began,
            weights_fetched=weights_fetched,
        )

    @property
    def ready(self) -> bool:
        """Say whether the Service sends requests to this pod."""
        ready = self.conditions.get("Ready")
        return ready is not None and ready.is_true and not self.deleting

    @property
    def running(self) -> bool:
        """Say whether the model server's process is up."""
        return self.started is not None

    @property
    def image_pulled(self) -> bool:
        """Say whether the image is on the node, which every start of the container shows."""
        begun = self.running or self.fetch_began is not None
        return begun or self.last_end is not None

    @property
    def scheduled(self) -> ObservedCondition | None:
        """Return the scheduler's verdict, if there is one."""
        return self.conditions.get("PodScheduled")


def _first(manifest: Manifest, statuses: tuple[Manifest, ...]) -> Manifest:
    containers = mappings(section(manifest, "spec").get("containers"))
    name = containers[0].get("name") if containers else None
    for status in statuses:
        if name is None or status.get("name") == name:
            return status
    return {}


def _waiting_init(status: Manifest) -> Manifest:
    """Find an init container that cannot start: it holds the model server back."""
    for container in mappings(status.get("initContainerStatuses")):
        waiting = section(container, "state", "waiting")
        if waiting.get("reason") not in (None, "PodInitializing"):
            return waiting
    return {}


def _borrowed(manifest: Manifest) -> tuple[str, ...]:
    """Name the objects that the pod's volumes are made of, which may not be there."""
    names = []
    for volume in mappings(section(manifest, "spec").get("volumes")):
        secrets = [section(volume, "secret").get("secretName")]
        secrets += [
            section(each, "secret").get("name")
            for each in mappings(section(volume, "projected").get("sources"))
        ]
        names += [f"Secret {text(name)}" for name in secrets if name]
        config = text(section(volume, "configMap").get("name"))
        claim = text(section(volume, "persistentVolumeClaim").get("claimName"))
        names += [f"ConfigMap {config}"] if config else []
        names += [f"PersistentVolumeClaim {claim}"] if claim else []
        if any(key in volume for key in ("nfs", "csi", "hostPath", "image")):
            names.append(f"volume {text(volume.get('name'))}")
    return tuple(names)


def _running_init(status: Manifest) -> str:
    """Name the init container that is at work."""
    for container in mappings(status.get("initContainerStatuses")):
        if section(container, "state", "running"):
            return text(container.get("name"))
    return ""


def _failed_init(status: Manifest) -> tuple[str, Termination | None]:
    """Find an init container that failed and has not succeeded since, and how."""
    for container in mappings(status.get("initContainerStatuses")):
        state = section(container, "state", "terminated")
        end = _end(state) or _end(section(container, "lastState", "terminated"))
        if end is not None and end.exit_code:
            return text(container.get("name")), end
    return "", None


def _times_of_weights(status: Manifest) -> tuple[datetime | None, datetime | None]:
    """Return when the fetching of weights began, and when it ended well."""
    for container in mappings(status.get("initContainerStatuses")):
        if container.get("name") != FETCH_WEIGHTS:
            continue
        ended = section(container, "state", "terminated")
        began = section(container, "state", "running") or ended
        began = began or section(container, "lastState", "terminated")
        well = ended and not integer(ended.get("exitCode"))
        return moment(began.get("startedAt")), moment(ended.get("finishedAt")) if well else None
    return None, None


def _end(terminated: Manifest) -> Termination | None:
    if not terminated:
        return None
    return Termination(
        exit_code=integer(terminated.get("exitCode")),
        reason=text(terminated.get("reason")),
        message=text(terminated.get("message")).strip(),
        finished=moment(terminated.get("finishedAt")),
    )
