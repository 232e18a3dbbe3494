"""
Take back a revision of the pod that never generates a token, and try it no second time.

A revision is a pod template, known by the hash that it carries. An edit, a ConfigMap or a newer
operator makes another one, and with a single GPU the old pods are gone before the new ones have
proved anything. So the status remembers which revision last generated a token (`serving`). One that
crashes over and over, cannot start, or has had its time is put into `failed`, and the Deployment
gets the template of `serving` back, from the ReplicaSet that Kubernetes keeps of it.

What was taken back is written on the Deployment in the same write that takes it back, and then into
the status, so a restart at any moment changes nothing. And
nothing flaps: `failed` stays until another revision is wanted, whatever becomes of the old one.
A Workspace that has never served has nothing to go back to, and is left as it is.

Invariant: the same input gives the same template. Must not import the other kinds of `objects`, but
for metadata and placement.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from workspace_operator.api import Rollout, Workspace
from workspace_operator.objects.metadata import (
    BACKED_OUT_ANNOTATION,
    BACKED_OUT_WHY_ANNOTATION,
    CONFIG_HASH_ANNOTATION,
    identity_of,
    is_ours,
)
from workspace_operator.objects.placement import matching_nodes
from workspace_operator.plan import Plan
from workspace_operator.settings import Settings
from workspace_operator.snapshot import Manifest, Pod, Snapshot
from workspace_operator.snapshot.pods import REVISION_DIGITS
from workspace_operator.snapshot.reading import integer, section, strings

# A container that has ended so often without a token will end again.
MOST_RESTARTS = 3
# A pod that cannot start at all (image, Secret) gets less time than one that loads weights.
START_SECONDS = 300
# Source: kubernetes/kubernetes, pkg/controller/deployment/util/deployment_util.go at v1.35.
NUMBER_ANNOTATION = "deployment.kubernetes.io/revision"
TEMPLATE_HASH_LABEL = "pod-template-hash"

QUOTE_LENGTH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """
    Hold what the Deployment is to run, and what the status remembers of why.

    Attributes:
        template: The pod template.
        record: What the next pass has to know.
    """

    template: Manifest
    record: Rollout


def revision_of(template: Manifest) -> str:
    """Name the revision that a pod template is, or a pod was made from."""
    mark = strings(section(template, "metadata", "annotations")).get(CONFIG_HASH_ANNOTATION, "")
    return mark[:REVISION_DIGITS]


def decide(
    workspace: Workspace,
    plan: Plan,
    wanted: Manifest,
    snapshot: Snapshot,
    settings: Settings,
    now: datetime,
) -> Decision:
    """Say which template to run: the wanted one, or the last that served."""
    now = now.replace(microsecond=0)  # the status keeps whole seconds: both must agree
    revision = revision_of(wanted)
    before = _taken_back(workspace, revision, snapshot) or workspace.status.rollout or Rollout()
    proven = {pod.revision for pod in snapshot.serving_pods} - {""}
    if revision in proven or (not proven and before.serving == revision):
        return Decision(template=wanted, record=Rollout(serving=revision))
    serving = before.serving or min(proven, default=None)
    if serving is None:
        return Decision(template=wanted, record=Rollout())
    if before.failed == revision:
        record = Rollout(serving=serving, failed=revision, message=before.message)
    else:
        since = _since(workspace, plan, before, revision, snapshot, now)
        why = _failure(revision, since, snapshot, settings, now)
        record = (
            Rollout(serving=serving, failed=revision, message=why)
            if why
            else Rollout(serving=serving, candidate=revision, since=since)
        )
    if not record.failed:
        return Decision(template=wanted, record=record)
    kept = _kept(serving, snapshot)
    if kept is None:  # nothing to go back to, or it has not been read yet
        record = Rollout(serving=serving, candidate=revision, since=before.since)
    return Decision(template=kept or wanted, record=record)


def with_record(deployment: Manifest, record: Rollout) -> Manifest:
    """Return the Deployment with what was taken back written on it, in the same write."""
    if not record.failed:
        return deployment
    metadata = section(deployment, "metadata")
    marks = {
        BACKED_OUT_ANNOTATION: record.failed,
        BACKED_OUT_WHY_ANNOTATION: record.message or "",
    }
    annotations = strings(metadata.get("annotations")) | marks
    return {**deployment, "metadata": {**metadata, "annotations": annotations}}


def _taken_back(workspace: Workspace, revision: str, snapshot: Snapshot) -> Rollout | None:
    """
    Read from the Deployment itself that this revision was taken back.

    The status is told a little after the Deployment is written, and a crash between the two must
    not try the same revision again.
    """
    live = snapshot.deployment
    if live is None or not is_ours(identity_of(workspace), live):
        return None
    marks = strings(section(live, "metadata", "annotations"))
    serving = revision_of(section(live, "spec", "template"))
    if marks.get(BACKED_OUT_ANNOTATION) != revision or not serving:
        return None
    return Rollout(
        serving=serving, failed=revision, message=marks.get(BACKED_OUT_WHY_ANNOTATION, "")
    )


def _since(
    workspace: Workspace,
    plan: Plan,
    before: Rollout,
    revision: str,
    snapshot: Snapshot,
    now: datetime,
) -> datetime | None:
    """Return when the trial began; without its nodes it has not, and begins anew with them."""
    ready = [node for node in matching_nodes(workspace, plan, snapshot) if node.ready]
    if len(ready) < plan.node_count:
        return None
    return (before.since if before.candidate == revision else None) or now


def _failure(
    revision: str, since: datetime | None, snapshot: Snapshot, settings: Settings, now: datetime
) -> str:
    """Say why a revision is given up, or nothing while it may still come."""
    if since is None:
        return ""
    pods = [pod for pod in snapshot.current_pods if pod.revision == revision]
    for pod in pods:
        if pod.restarts >= MOST_RESTARTS and not pod.ready:
            return f"pod {pod.name} ended {pod.restarts} times, {_end(pod)}"
    for pod in pods:
        if pod.waiting_reason not in {"", "ContainerCreating", "PodInitializing"} and (
            now - since >= timedelta(seconds=min(START_SECONDS, settings.rollout_seconds))
        ):
            words = _quoted(pod.waiting_message or pod.waiting_reason)
            return f"pod {pod.name} could not start within {START_SECONDS} s: {words}"
    if now - since >= timedelta(seconds=settings.rollout_seconds):
        return f"no token within {settings.rollout_seconds} s"
    return ""


def _end(pod: Pod) -> str:
    if pod.last_end is None:
        return "nobody knows why"
    words = _quoted(pod.last_end.message or pod.last_end.reason)
    return f"the last time with exit code {pod.last_end.exit_code}: {words}"


def _quoted(text: str) -> str:
    line = " ".join(text.split()).rstrip(".") or "no reason given"
    return line if len(line) <= QUOTE_LENGTH else line[: QUOTE_LENGTH - 1] + "…"


def _kept(revision: str, snapshot: Snapshot) -> Manifest | None:
    """
    Return the template of a revision as Kubernetes keeps it, or as it still runs.

    Somebody else's change of the Deployment makes a ReplicaSet of the same mark; ours, which was
    put back after it, has the higher number.
    """
    found = [
        each
        for each in snapshot.replica_sets
        if revision_of(section(each, "spec", "template")) == revision
    ]
    live = section(snapshot.deployment or {}, "spec", "template")
    if not found and revision_of(live) != revision:
        return None
    template = section(max(found, key=_number), "spec", "template") if found else live
    metadata = {
        key: value for key, value in section(template, "metadata").items() if value is not None
    }
    labels = {
        key: value
        for key, value in strings(metadata.get("labels")).items()
        if key != TEMPLATE_HASH_LABEL
    }
    return {**template, "metadata": {**metadata, "labels": labels}}


def _number(replica_set: Manifest) -> int:
    return integer(
        strings(section(replica_set, "metadata", "annotations")).get(NUMBER_ANNOTATION, "")
    )
