"""
Build the objects of a small world, as an API server would return them, for tests of pure functions.

Every builder takes the few facts that a test speaks about and fills in the rest. Time is T0 plus
seconds.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from model_presets.catalog import load_catalog
from model_presets.preset import Preset
from workspace_operator.api import Workspace, WorkspaceStatus, parse
from workspace_operator.objects.metadata import Identity, claim_name
from workspace_operator.plan import Plan, plan
from workspace_operator.settings import Cloud, NodeProvisioner, Settings

Manifest = dict[str, Any]

T0 = datetime(2026, 3, 1, 10, 0, 0, tzinfo=UTC)
CATALOG = load_catalog()
SETTINGS = Settings(version="1.2.3")
BYO = replace(SETTINGS, node_provisioner=NodeProvisioner.BYO)
AWS = replace(SETTINGS, cloud=Cloud.AWS)
OWNER = Identity(name="mistral", namespace="team", uid="uid-1")
A100 = "Standard_NC24ads_A100_v4"
MISTRAL_7B = CATALOG.get("mistral-7b-instruct")
TINY = CATALOG.get("tiny-mistral")


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def stamp(seconds: float) -> str:
    return f"{at(seconds):%Y-%m-%dT%H:%M:%SZ}"


def body(
    *,
    instance_type: str | None = A100,
    count: int = 1,
    preset: str = "mistral-7b-instruct",
    annotations: dict[str, str] | None = None,
    **changed: object,
) -> Manifest:
    """Return a Workspace; further keywords replace its top-level sections."""
    resource: Manifest = {"count": count, "labelSelector": {"matchLabels": {"apps": "mistral"}}}
    if instance_type:
        resource["instanceType"] = instance_type
    return {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {
            "name": OWNER.name,
            "namespace": OWNER.namespace,
            "uid": OWNER.uid,
            "generation": 3,
            "creationTimestamp": stamp(0),
            "annotations": annotations or {},
        },
        "resource": resource,
        "inference": {"preset": {"name": preset}},
        **changed,
    }


def workspace(
    status: WorkspaceStatus | None = None,
    **facts: Any,  # noqa: ANN401 - as `body`
) -> Workspace:
    made = parse(body(**facts))
    return made if status is None else made.model_copy(update={"status": status})


def planned(
    made: Workspace | None = None, settings: Settings = SETTINGS, preset: Preset = MISTRAL_7B
) -> Plan:
    return plan(made or workspace(), preset, settings)


def condition(
    kind: str, status: str = "True", reason: str = "", message: str = "", since: float = 0
) -> Manifest:
    return {
        "type": kind,
        "status": status,
        "reason": reason or kind,
        "message": message,
        "lastTransitionTime": stamp(since),
    }


def claim(  # noqa: PLR0913 - one keyword per fact
    name: str | None = None,
    *,
    steps: int = 3,
    obstacle: tuple[str, str] = ("AwaitingReconciliation", ""),
    ordinal: int | None = 0,
    uid: str | None = OWNER.uid,
    deleting: bool = False,
    node: str = "node-1",
) -> Manifest:
    """Return a NodeClaim that has come so many steps: launched, registered, initialized."""
    kinds = ("Launched", "Registered", "Initialized")
    marks = (30, 90, 200)
    conditions = [condition(kind, since=marks[i]) for i, kind in enumerate(kinds[:steps])]
    if steps < len(kinds):
        conditions.append(condition(kinds[steps], "Unknown", *obstacle, since=marks[steps]))
    conditions.append(condition("Ready", "True" if steps == len(kinds) else "Unknown"))
    annotations = {}
    if uid is not None:
        annotations["atelier.kaito.sh/workspace-uid"] = uid
    if ordinal is not None:
        annotations["atelier.kaito.sh/ordinal"] = str(ordinal)
    metadata: Manifest = {
        "name": name or claim_name(OWNER, ordinal or 0, 0),
        "uid": f"uid-of-{name or ordinal}",
        "creationTimestamp": stamp(5),
        "labels": {
            "apps": "mistral",
            "kaito.sh/workspace": OWNER.name,
            "kaito.sh/workspacenamespace": OWNER.namespace,
        },
        "annotations": annotations,
    }
    if deleting:
        metadata["deletionTimestamp"] = stamp(300)
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": metadata,
        "spec": {
            "requirements": [
                {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [A100]}
            ]
        },
        "status": {"conditions": conditions} | ({"nodeName": node} if steps > 1 else {}),
    }


def node(  # noqa: PLR0913 - one keyword per fact
    name: str = "node-1",
    *,
    gpus: int = 1,
    ready: bool = True,
    labels: dict[str, str] | None = None,
    since: float = 100,
    pressure: str = "",
    message: str = "kubelet stopped posting node status",
) -> Manifest:
    owned = {
        "apps": "mistral",
        "kaito.sh/workspace": OWNER.name,
        "kaito.sh/workspacenamespace": OWNER.namespace,
    }
    conditions = [
        condition("Ready", "True" if ready else "False", message="" if ready else message)
        | {"lastTransitionTime": stamp(since)}
    ]
    if pressure:
        conditions.append(condition(pressure))
    return {
        "metadata": {"name": name, "labels": owned if labels is None else labels},
        "status": {
            "conditions": conditions,
            "allocatable": {"cpu": "24"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {}),
        },
    }


def pod(
    name: str = "mistral-a",
    *,
    state: Manifest | None = None,
    last: Manifest | None = None,
    ready: bool = False,
    placed: bool = True,
    restarts: int = 0,
    **status: object,
) -> Manifest:
    """Return a pod; without a state its container waits for the image."""
    conditions = [
        condition("PodScheduled", "True" if placed else "False", since=205),
        condition("Ready", "True" if ready else "False"),
    ]
    container = {
        "name": OWNER.name,
        "restartCount": restarts,
        "state": state or {"waiting": {"reason": "ContainerCreating"}},
        "lastState": {"terminated": last} if last else {},
    }
    return {
        "metadata": {"name": name, "uid": f"uid-of-{name}", "creationTimestamp": stamp(204)},
        "spec": {"containers": [{"name": OWNER.name}]} | ({"nodeName": "node-1"} if placed else {}),
        "status": {
            "phase": "Running" if state and "running" in state else "Pending",
            "podIP": "198.18.4.7",
            "conditions": conditions,
            "containerStatuses": [container] if placed else [],
            **status,
        },
    }


def running(since: float = 260) -> Manifest:
    return {"running": {"startedAt": stamp(since)}}


def waiting(reason: str, message: str = "") -> Manifest:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, reason: str = "Error", message: str = "") -> Manifest:
    return {
        "exitCode": code,
        "reason": reason,
        "message": message,
        "finishedAt": stamp(280),
    }


def as_stored(manifest: Manifest, uid: str = "uid-of-child") -> Manifest:
    """Return an object as the API server gives it back: with defaults, and a life of its own."""
    stored: Manifest = {**manifest, "metadata": {**manifest["metadata"], "uid": uid}}
    stored["metadata"]["resourceVersion"] = "1"
    stored["metadata"]["creationTimestamp"] = stamp(203)
    if manifest["kind"] == "Service":
        stored["spec"] = {**manifest["spec"], "clusterIP": "10.0.0.7", "sessionAffinity": "None"}
    return stored
