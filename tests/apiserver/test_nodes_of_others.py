"""Nodes that the operator does not make itself: Karpenter's own, and those that a user brings."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cluster import (
    ControlPlane,
    karpenter,
    karpenter_crds,
    make_node_ready,
    node_of_claim,
)
from tests.cluster import control_plane as run_control_plane
from tests.world import Api, workspaces
from tests.world.api import CLAIMS
from tests.world.cloud import condition
from tests.world.operator_process import NAMESPACE, RELEASE, Operator, install

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(240)]


NOW = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
NOTEBOOK = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "notebook"},
    "spec": {
        "nodeName": "own",
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": "notebook",
                "image": "example/notebook:1",
                "resources": {"limits": {"nvidia.com/gpu": "1"}},
            }
        ],
    },
}


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    with run_control_plane() as plane:
        yield plane


@pytest_asyncio.fixture
async def api(plane: ControlPlane) -> AsyncIterator[Api]:
    async with Api(plane) as api:
        yield api


def operator_on(plane: ControlPlane, log: Path, *values: str) -> Operator:
    environment = install(plane, *values)
    return Operator(
        kubeconfig=plane.kubeconfig_for(NAMESPACE, RELEASE), environment=environment, log=log
    )


async def test_the_real_karpenter_brings_the_machine_and_takes_it_away(
    plane: ControlPlane, api: Api, tmp_path: Path
) -> None:
    team = plane.create_namespace()
    with karpenter(plane):
        operator = operator_on(plane, tmp_path / "log", "cloud=kwok")
        operator.start()
        try:
            await operator.leads()
            await api.create(workspaces.path(team), workspaces.workspace(team))
            await workspaces.present(api, workspaces.service_path(team, "mistral"))
            (claim,) = await workspaces.claims(api, team, "mistral")
            name = claim["metadata"]["name"]
            while not (node := await asyncio.to_thread(node_of_claim, plane, name)):
                assert operator.runs
            assert await api.get(workspaces.deployment_path(team, "mistral")) is None, "gated"
            await asyncio.to_thread(make_node_ready, plane, node, gpus=1)
            await workspaces.present(api, workspaces.deployment_path(team, "mistral"))
            ready = await workspaces.eventually(
                api,
                workspaces.path(team, "mistral"),
                lambda found: (
                    found is not None
                    and workspaces.condition(found, "ResourceReady")["status"] == "True"
                ),
            )
            assert ready is not None
            assert ready["status"]["workerNodes"] == [node]
            await api.delete(workspaces.path(team, "mistral"))
            await workspaces.gone(api, workspaces.path(team, "mistral"))
            assert await api.get(f"/api/v1/nodes/{node}") is None
        finally:
            assert operator.stop() == 0


async def test_a_karpenter_that_is_installed_later_is_noticed(
    plane: ControlPlane, api: Api, tmp_path: Path
) -> None:
    """Neither the sweep nor a pause can be it: both are ten minutes here."""
    team = plane.create_namespace()
    operator = operator_on(plane, tmp_path / "log", "resyncSeconds=600")
    operator.start()
    try:
        await operator.leads()
        await api.create(workspaces.path(team), workspaces.workspace(team))
        await workspaces.with_reason(api, team, "mistral", "KarpenterMissing")
        for definition in karpenter_crds():
            plane.apply(definition)
        while not (made := await workspaces.claims(api, team, "mistral")):
            assert operator.runs
            await asyncio.sleep(0.05)
        path = f"{CLAIMS}/{made[0]['metadata']['name']}"
        refusal = condition("Launched", "Unknown", "LaunchFailed", "no such machine in this region")
        await api.merge(f"{path}/status", {"status": {"conditions": [refusal]}})
        await workspaces.eventually(  # the claims are watched as well
            api,
            workspaces.path(team, "mistral"),
            lambda found: "no such machine" in str((found or {}).get("status")),
        )
        assert [each["event"] for each in operator.events()].count("starting over") == 1
    finally:
        assert operator.stop() == 0


async def test_a_brought_node_needs_no_claims_and_no_karpenter(
    plane: ControlPlane, api: Api, tmp_path: Path
) -> None:
    team = plane.create_namespace()
    operator = operator_on(plane, tmp_path / "log", "nodeProvisioner=byo", "resyncSeconds=1")
    operator.start()
    try:
        await operator.leads()
        wanted = workspaces.workspace(team)
        del wanted["resource"]["instanceType"]
        await api.create(workspaces.path(team), wanted)
        waiting = await workspaces.in_phase(api, team, "mistral", "WaitingForNodes")
        assert "Label a node" in workspaces.condition(waiting, "NodesReady")["message"]
        labels = wanted["resource"]["labelSelector"]["matchLabels"]
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "own", "labels": labels}}
        await api.create("/api/v1/nodes", node)
        await api.create(f"/api/v1/namespaces/{team}/pods", NOTEBOOK)
        resources = {"nvidia.com/gpu": "1", "cpu": "8", "memory": "64Gi"}
        ready = [condition("Ready", "True")]
        await api.merge(
            "/api/v1/nodes/own/status",
            {"status": {"conditions": ready, "allocatable": resources, "capacity": resources}},
        )
        held = await workspaces.with_reason(api, team, "mistral", "GPUInUse")
        assert f"{team}/notebook" in workspaces.condition(held, "Ready")["message"]
        assert await api.get(workspaces.deployment_path(team, "mistral")) is None
        await api.delete(f"/api/v1/namespaces/{team}/pods/notebook", NOW)
        await workspaces.present(api, workspaces.deployment_path(team, "mistral"))
        await api.delete(workspaces.path(team, "mistral"))
        await workspaces.gone(api, workspaces.path(team, "mistral"))
        assert await api.get("/api/v1/nodes/own") is not None, "it is the user's"
    finally:
        assert operator.stop() == 0
