"""
Take Workspaces over from KAITO, with what it made for them: docs/migration.md, step by step.

The objects have the shapes of KAITO 0.7 (a Deployment) and 0.12 (a StatefulSet, whose deletion is a
step of the page). Their machines are kept; their workload is made anew.
"""

import asyncio
from typing import Any

import pytest

from tests.cluster import ControlPlane
from tests.world import World, workspaces
from tests.world.api import CLAIMS, Manifest
from tests.world.operator_process import Operator

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),
]

TYPE = "Standard_NC24ads_A100_v4"
KAITO_COMMAND = ["/bin/sh", "-c", "accelerate launch /workspace/tfs/inference_api.py"]


def claim_of_kaito(namespace: str, name: str, claim: str) -> Manifest:
    def within(key: str, value: str) -> Manifest:
        return {"key": key, "operator": "In", "values": [value]}

    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {
            "name": claim,
            "labels": {
                "karpenter.sh/nodepool": "kaito",
                "kaito.sh/workspace": name,
                "kaito.sh/workspacenamespace": namespace,
                "apps": f"{namespace}-{name}",
            },
            "annotations": {
                "karpenter.sh/do-not-disrupt": "true",
                "kaito.sh/node-image-family": "ubuntu",
            },
        },
        "spec": {
            "nodeClassRef": {"group": "kaito.sh", "kind": "KaitoNodeClass", "name": "default"},
            "requirements": [
                within("karpenter.sh/nodepool", "kaito"),
                within("node.kubernetes.io/instance-type", TYPE),
                within("kubernetes.io/os", "linux"),
                within("karpenter.azure.com/sku-name", TYPE),
            ],
            "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
            "resources": {"requests": {"storage": "93Gi"}},
            "expireAfter": "Never",
        },
    }


def owned(workspace: Manifest, **metadata: Any) -> Manifest:  # noqa: ANN401 - metadata
    owner = {
        "apiVersion": workspace["apiVersion"],
        "kind": "Workspace",
        "name": workspace["metadata"]["name"],
        "uid": workspace["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    plain = {key: workspace["metadata"][key] for key in ("name", "namespace")}
    return {**plain, "ownerReferences": [owner], **metadata}


def deployment_of_kaito(workspace: Manifest) -> Manifest:
    """Return the workload of KAITO 0.2 to 0.7."""
    name = workspace["metadata"]["name"]
    labels = {"kaito.sh/workspace": name}
    container = {
        "name": name,
        "image": "mcr.microsoft.com/aks/kaito/kaito-mistral-7b-instruct:0.2.0",
        "command": KAITO_COMMAND,
        "ports": [{"containerPort": 5000}],
        "livenessProbe": {"httpGet": {"path": "/health", "port": 5000}, "initialDelaySeconds": 600},
        "resources": {"limits": {"nvidia.com/gpu": "1"}, "requests": {"nvidia.com/gpu": "1"}},
        "volumeMounts": [{"name": "dshm", "mountPath": "/dev/shm"}],  # noqa: S108 - as KAITO does
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": owned(workspace, annotations={"workspace.kaito.io/revision": "1"}),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [container],
                    "volumes": [{"name": "dshm", "emptyDir": {"medium": "Memory"}}],
                },
            },
        },
    }


def service_of_kaito(workspace: Manifest, *, first_pod_only: bool) -> Manifest:
    name = workspace["metadata"]["name"]
    selector = {"kaito.sh/workspace": name}
    if first_pod_only:
        selector["statefulset.kubernetes.io/pod-name"] = f"{name}-0"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owned(workspace),
        "spec": {
            "publishNotReadyAddresses": True,
            "selector": selector,
            "ports": [
                {"name": "http", "port": 80, "targetPort": 5000},
                {"name": "ray", "port": 6379, "targetPort": 6379},
                {"name": "dashboard", "port": 8265, "targetPort": 8265},
            ],
        },
    }


def status_of_kaito() -> Manifest:
    reasons = {
        "NodeClaimReady": "NodeClaimsReady",
        "NodesReady": "NodesReady",
        "ResourceReady": "workspaceResourceStatusSuccess",
        "InferenceReady": "WorkspaceInferenceStatusSuccess",
        "WorkspaceSucceeded": "workspaceSucceeded",
    }
    time = "2026-01-01T00:00:00Z"
    return {
        "conditions": [
            {
                "type": kind,
                "status": "True",
                "reason": reason,
                "message": "KAITO was here",
                "lastTransitionTime": time,
                "observedGeneration": 1,
            }
            for kind, reason in reasons.items()
        ],
        "state": "Ready",
        "targetNodeCount": 1,
        "workerNodes": ["a-node"],
    }


async def leave(world: World, namespace: str, name: str, claim: str, *, statefulset: bool) -> str:
    """Leave what KAITO has made for one Workspace, and return the claim's UID."""
    asked = workspaces.workspace(namespace, name)
    asked["metadata"]["finalizers"] = ["workspace.finalizer.kaito.sh"]
    live = await world.api.create(workspaces.path(namespace), asked)
    path = workspaces.path(namespace, name)
    await world.api.merge(f"{path}/status", {"status": status_of_kaito()})
    made = await world.api.create(CLAIMS, claim_of_kaito(namespace, name, claim))
    service = service_of_kaito(live, first_pod_only=statefulset)
    await world.api.create(f"/api/v1/namespaces/{namespace}/services", service)
    if not statefulset:
        deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        await world.api.create(deployments, deployment_of_kaito(live))
    uid: str = made["metadata"]["uid"]
    return uid


@pytest.fixture
async def stopped(operator: Operator) -> Any:  # noqa: ANN401 - a generator
    """Have no operator while KAITO works, and one again whatever happens."""
    await asyncio.to_thread(operator.stop)
    yield operator
    if not operator.runs:
        operator.start()
        await operator.leads()


@pytest.mark.parametrize("statefulset", [True, False], ids=["0.12", "0.7"])
async def test_machine_and_name_stay_and_the_workload_is_made_anew(
    stopped: Operator,
    world: World,
    team: str,
    statefulset: bool,  # noqa: FBT001 - a parameter
) -> None:
    name, claim = "mistral", f"ws{team[-8:]}0"
    uid = await leave(world, team, name, claim, statefulset=statefulset)

    stopped.start()
    await stopped.leads()
    ready = await workspaces.in_phase(world.api, team, name, "Ready")

    kept = await workspaces.claims(world.api, team, name)
    assert [each["metadata"]["uid"] for each in kept] == [uid], "no machine was bought or dropped"
    assert ready["status"]["workerNodes"] == [claim]
    assert ready["metadata"]["finalizers"] == ["workspace.finalizer.kaito.sh"]
    messages = {each["message"] for each in ready["status"]["conditions"]}
    assert "KAITO was here" not in messages
    deployment = await workspaces.present(world.api, workspaces.deployment_path(team, name))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert "command" not in container
    assert container["image"].startswith("atelier/")
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    service = await workspaces.present(world.api, workspaces.service_path(team, name))
    assert service["spec"]["selector"] == {"kaito.sh/workspace": name}
    assert [each["name"] for each in service["spec"]["ports"]] == ["http"]
    assert "publishNotReadyAddresses" not in service["spec"]

    await world.api.delete(workspaces.path(team, name))
    await workspaces.gone(world.api, workspaces.path(team, name))
    assert await workspaces.claims(world.api, team, name) == [], "its machine is given back"


async def test_a_controller_of_kaitos_that_runs_is_named(
    stopped: Operator, populated: ControlPlane, team: str
) -> None:
    labels = {"app.kubernetes.io/name": "workspace"}
    image = "mcr.microsoft.com/aks/kaito/workspace:0.12.0"
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "manager", "image": image}]},
    }
    controller = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "kaito-workspace", "namespace": team, "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
    populated.apply(controller)

    stopped.start()
    await stopped.leads()
    async with asyncio.timeout(40):
        while await stopped.metric("atelier_kaito_controllers") != 1:  # noqa: ASYNC110 (remote)
            await asyncio.sleep(0.2)

    named = [each for each in stopped.events() if "kaito runs beside us" in each["event"]]
    assert named[-1]["deployment"] == f"{team}/kaito-workspace"
    populated.kubectl("delete", "deployment", "kaito-workspace", "-n", team)
