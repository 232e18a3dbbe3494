"""On nodes that the user brings a roll-out takes a free one first, and else stops the old pod."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cluster import ControlPlane, karpenter_crds
from tests.cluster import control_plane as run_control_plane
from tests.world import World, play, workspaces
from tests.world.api import Manifest
from tests.world.cloud import condition
from tests.world.history import following
from tests.world.operator_process import NAMESPACE, RELEASE, Operator, install

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(240)]

KEY = "inference_config.yaml"
LABELS = {"apps": "brought"}


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    with run_control_plane(controllers=("deployment-controller", "replicaset-controller")) as plane:
        for (
            definition
        ) in karpenter_crds():  # what is played watches claims, of which there are none
            plane.apply(definition)
        yield plane


@pytest_asyncio.fixture
async def world(plane: ControlPlane) -> AsyncIterator[World]:
    async with play(plane) as world:
        yield world


@pytest.fixture
def operator(plane: ControlPlane, tmp_path: Path) -> Iterator[Operator]:
    environment = install(plane, "nodeProvisioner=byo", "resyncSeconds=1", "probeIntervalSeconds=1")
    operator = Operator(
        kubeconfig=plane.kubeconfig_for(NAMESPACE, RELEASE),
        environment=environment,
        log=tmp_path / "log",
    )
    operator.start()
    yield operator
    assert operator.stop() == 0
    assert [each for each in operator.events() if "traceback" in each] == []


async def bring(world: World, name: str) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": LABELS}}
    await world.api.create("/api/v1/nodes", node)
    resources = {"nvidia.com/gpu": "1", "cpu": "8", "memory": "64Gi"}
    ready = [condition("Ready", "True")]
    status = {"conditions": ready, "allocatable": resources, "capacity": resources}
    await world.api.merge(f"/api/v1/nodes/{name}/status", {"status": status})
    await world.api.merge(f"/api/v1/nodes/{name}", {"spec": {"taints": None}})


async def tune(world: World, team: str, sequences: int) -> None:
    text = {"data": {KEY: f"server: {{max-sequences: {sequences}}}"}}
    await world.api.merge(f"/api/v1/namespaces/{team}/configmaps/tuned", text)


async def on(world: World, team: str, many: int) -> list[Manifest]:
    """Wait until so many pods have a node, and return them, the oldest first."""
    while True:
        found = await world.api.items(f"/api/v1/namespaces/{team}/pods")
        placed = [pod for pod in found if pod["spec"].get("nodeName")]
        if len(found) == len(placed) == many:
            return sorted(placed, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


async def told(world: World, team: str, words: str) -> Manifest:
    found = await workspaces.eventually(
        world.api,
        workspaces.path(team, "mistral"),
        lambda found: words in workspaces.condition(found or {}, "RolledOut").get("message", ""),
    )
    assert found is not None
    return found


def at_rest(deployment: Manifest | None) -> bool:
    rolling = (deployment or {})["spec"]["strategy"]["rollingUpdate"]
    return bool(rolling == {"maxSurge": 0, "maxUnavailable": 1})


async def test_a_free_node_takes_the_next_pod_and_without_one_the_old_pod_goes_first(
    plane: ControlPlane, world: World, operator: Operator
) -> None:
    team = plane.create_namespace()
    api, deployment = world.api, workspaces.deployment_path(team, "mistral")
    config = {"metadata": {"name": "tuned"}, "data": {KEY: "server: {max-sequences: 4}"}}
    await api.create(f"/api/v1/namespaces/{team}/configmaps", config)
    wanted = workspaces.workspace(team, labelSelector={"matchLabels": LABELS})
    del wanted["resource"]["instanceType"]
    wanted["inference"]["config"] = "tuned"
    await operator.leads()
    await bring(world, "first")
    async with following(api) as history:
        await api.create(workspaces.path(team), wanted)
        await workspaces.in_phase(api, team, "mistral", "Ready")
        await bring(world, "second")
        (old,) = await on(world, team, 1)

        world.kubelet.phase = "loading"
        await tune(world, team, 5)
        pods = await on(world, team, 2)
        assert {pod["spec"]["nodeName"] for pod in pods} == {"first", "second"}
        both = await told(world, team, "node second has room for both")
        assert workspaces.condition(both, "InferenceReady")["status"] == "True"
        (new,) = [pod for pod in pods if pod["metadata"]["uid"] != old["metadata"]["uid"]]
        world.kubelet.phase = "ready"
        world.kubelet.models[new["metadata"]["name"]].phase = "ready"
        (left,) = await on(world, team, 1)
        assert left["metadata"]["uid"] == new["metadata"]["uid"]
        await workspaces.eventually(api, deployment, at_rest)
        await told(world, team, "the pods are what is wanted")
        await history.caught_up()
        statuses = [
            workspaces.condition(each.body, "InferenceReady")["status"]
            for each in history.of(team)
            if each.kind == "Workspace" and each.body.get("status", {}).get("conditions")
        ]
        assert "False" not in statuses[statuses.index("True") :], "somebody was not served"

    await api.delete("/api/v1/nodes/first")
    world.kubelet.phase = "loading"
    await tune(world, team, 6)
    name = new["metadata"]["name"]
    alone = "has 1 free nvidia.com/gpu (held: second by "
    found = await told(world, team, alone)
    assert f"{team}/{name}" in workspaces.condition(found, "RolledOut")["message"]
    await workspaces.gone(api, f"/api/v1/namespaces/{team}/pods/{name}")
    (last,) = await on(world, team, 1)
    assert last["spec"]["nodeName"] == "second"
    world.kubelet.models[last["metadata"]["name"]].phase = "ready"
    await told(world, team, "the pods are what is wanted")
