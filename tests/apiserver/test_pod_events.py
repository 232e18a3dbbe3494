"""What only an Event says about a pod reaches the user, once, and goes when the pod goes on."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.world import World, workspaces
from tests.world.api import Manifest
from tests.world.cloud import condition
from tests.world.history import following
from tests.world.operator_process import Operator
from tests.world.oracles import dishonest_statuses

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),  # the first test of a run starts everything
]

WAITS = {"state": {"waiting": {"reason": "ContainerCreating"}}}


def ago(seconds: float) -> str:
    return f"{datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


async def warn(world: World, pod: Manifest, name: str, reason: str, message: str) -> None:
    """Post an Event as the kubelet does."""
    metadata = pod["metadata"]
    await world.api.create(
        f"/api/v1/namespaces/{metadata['namespace']}/events",
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "type": "Warning",
            "reason": reason,
            "message": message,
            "firstTimestamp": ago(20),
            "lastTimestamp": ago(1),
            "count": 3,
        },
    )


async def without_a_sandbox(world: World, team: str) -> Manifest:
    """Wait for the pod, and let it wait for its volumes for a minute already."""
    pods = f"/api/v1/namespaces/{team}/pods"
    while not (
        found := [
            pod for pod in await world.api.items(pods) if pod["status"].get("containerStatuses")
        ]
    ):
        pass
    (pod,) = found
    placed = condition("PodScheduled", "True") | {"lastTransitionTime": ago(60)}
    conditions = [
        placed,
        condition("PodReadyToStartContainers", "False"),
        condition("Ready", "False"),
    ]
    path = f"{pods}/{pod['metadata']['name']}/status"
    await world.api.merge(path, {"status": {"conditions": conditions}})
    return pod


async def test_why_a_pod_cannot_start_is_told_in_the_kubelets_words(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    world.kubelet.stuck = WAITS
    try:
        async with following(world.api) as history:
            await world.api.create(workspaces.path(team), workspaces.workspace(team))
            pod = await without_a_sandbox(world, team)
            sandbox = "c0ffee42" * 8
            message = f'plugin type="bridge" failed for sandbox "{sandbox}": no addresses left'
            await warn(world, pod, "one", "FailedCreatePodSandBox", message)
            found = await workspaces.with_reason(world.api, team, "mistral", "PodSandboxFailed")
            told = workspaces.condition(found, "Ready")["message"]
            assert 'failed for sandbox "…": no addresses left' in told
            again = message.replace("c0ffee42", "deadbee5")
            await warn(world, pod, "two", "FailedCreatePodSandBox", again)
            world.kubelet.stuck = None
            await workspaces.in_phase(world.api, team, "mistral", "Ready")
            await history.caught_up()
            assert dishonest_statuses(history.of(team)) == []
            headlines = [
                workspaces.condition(each.body, "Ready").get("message", "")
                for each in history.of(team)
                if each.kind == "Workspace"
            ]
            assert len({each for each in headlines if "no addresses left" in each}) == 1
    finally:
        world.kubelet.stuck = None
