"""
The operator against the real Karpenter: the status tells what a claim says, also when it is gone.

The operator sweeps once an hour here and probes no pod, so what moves its status are the watches:
what only a sweep would bring would not come within the patience of these tests.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cluster import ControlPlane, make_node_ready
from tests.world import Api, workspaces
from tests.world.api import CLAIMS, Manifest
from tests.world.cloud import condition
from tests.world.only_watches import running

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.usefixtures("helm"),
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),  # the first test of a run starts everything
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


async def told(api: Api, team: str, reason: str) -> str:
    """Wait for the root cause, and return what is said about it."""
    found = await workspaces.with_reason(api, team, "mistral", reason)
    return str(workspaces.condition(found, "Ready")["message"])


async def claim_of(api: Api, team: str) -> Manifest:
    """Wait for the claim of a Workspace to have a node."""
    while True:
        for claim in await workspaces.claims(api, team, "mistral"):
            if claim.get("status", {}).get("nodeName"):
                return claim
        await asyncio.sleep(0.1)


async def replaced_when_down(api: Api, team: str, claim: Manifest) -> tuple[Manifest, str]:
    """Let the node of a claim be down since six minutes, and wait for another claim with a node."""
    name, node = claim["metadata"]["name"], claim["status"]["nodeName"]
    since = datetime.now(UTC) - timedelta(minutes=6)
    down = condition("Ready", "Unknown", "NodeStatusUnknown", "the kubelet is silent")
    down["lastTransitionTime"] = f"{since:%Y-%m-%dT%H:%M:%SZ}"
    await api.merge(f"/api/v1/nodes/{node}/status", {"status": {"conditions": [down]}})
    await workspaces.gone(api, f"{CLAIMS}/{name}")
    other = await claim_of(api, team)
    found = await workspaces.present(api, workspaces.path(team, "mistral"))
    (attempt,) = found["status"]["nodeAttempts"]
    assert attempt["givenBack"] == [name]
    return other, other["status"]["nodeName"]


@pytest.fixture
def team(karpenter_control_plane: ControlPlane) -> str:
    return karpenter_control_plane.create_namespace()


async def test_every_step_of_a_claim_is_told_and_its_end_is_waited_for(
    karpenter_control_plane: ControlPlane, team: str, log: Path
) -> None:
    plane = karpenter_control_plane
    async with running(plane, log) as api:
        await api.create(workspaces.path(team), workspaces.workspace(team))
        claim = await claim_of(api, team)
        node = claim["status"]["nodeName"]
        assert node in await told(api, team, "NodeNotReady")
        await asyncio.to_thread(make_node_ready, plane, node, gpus=0)
        assert "shows 0 of 1 nvidia.com/gpu" in await told(api, team, "NodePluginsNotReady")
        found = await workspaces.eventually(
            api,
            workspaces.path(team, "mistral"),
            lambda found: (
                workspaces.condition(found or {}, "NodeClaimReady").get("reason")
                == "ResourceNotRegistered"
            ),
        )
        assert found is not None
        assert "nvidia.com/gpu" in workspaces.condition(found, "NodeClaimReady")["message"]
        await asyncio.to_thread(make_node_ready, plane, node, gpus=1)
        found = await workspaces.eventually(
            api,
            workspaces.path(team, "mistral"),
            lambda found: (
                workspaces.condition(found or {}, "ResourceReady").get("status") == "True"
            ),
        )
        assert found is not None
        assert found["status"]["workerNodes"] == [node]
        assert found["status"]["nodeAttempts"][0]["readyAt"]
        await workspaces.present(api, workspaces.deployment_path(team, "mistral"))
        claim, node = await replaced_when_down(api, team, claim)
        await api.delete(workspaces.path(team, "mistral"))
        await workspaces.gone(api, workspaces.path(team, "mistral"))
        await workspaces.gone(api, f"{CLAIMS}/{claim['metadata']['name']}")
        await workspaces.gone(api, f"/api/v1/nodes/{node}")


async def test_an_instance_type_that_does_not_exist_is_named(
    karpenter_control_plane: ControlPlane, team: str, log: Path
) -> None:
    async with running(karpenter_control_plane, log) as api:
        unknown = workspaces.workspace(team, instanceType="Standard_Nowhere")
        await api.create(workspaces.path(team), unknown)
        assert "Standard_Nowhere" in await told(api, team, "LaunchFailed")
        await api.delete(workspaces.path(team, "mistral"))
        await workspaces.gone(api, workspaces.path(team, "mistral"))


async def test_why_there_is_no_machine_outlives_the_claim_and_a_restart(
    karpenter_control_plane: ControlPlane, team: str, log: Path
) -> None:
    """
    Karpenter deletes the claim at once, and gives the reason in an Event alone.

    A node class that is missing is the one thing that the kwok provider answers with an
    InsufficientCapacityError (docs/faults.md): the error, its Event and the end of the claim are
    Karpenter's own, a cloud that has nothing left is played elsewhere (tests/world/cloud.py).
    """
    plane = karpenter_control_plane
    missing = {"ATELIER_NODE_CLASS_NAME": "nowhere"}
    async with running(plane, log, **missing) as api:
        await api.create(workspaces.path(team), workspaces.workspace(team))
        assert '"nowhere" not found' in await told(api, team, "InsufficientCapacityError")
        found = await workspaces.eventually(
            api,
            workspaces.path(team, "mistral"),
            lambda found: (
                "Failed tries: 1; the next is at"
                in workspaces.condition(found or {}, "Ready").get("message", "")
            ),
        )
        assert found is not None
        assert '"nowhere" not found' in workspaces.condition(found, "Ready")["message"]
        assert await workspaces.claims(api, team, "mistral") == []
        (attempt,) = found["status"]["nodeAttempts"]
        assert attempt["reason"] == "InsufficientCapacityError"
        assert "claim" not in attempt
        assert attempt["lastClaim"] in str(
            await api.items(f"/api/v1/namespaces/default/events?{about(attempt['lastClaim'])}")
        )
    async with running(plane, log, **missing) as api:
        after = await workspaces.present(api, workspaces.path(team, "mistral"))
        assert workspaces.condition(after, "Ready")["reason"] == "InsufficientCapacityError"
        await api.delete(workspaces.path(team, "mistral"))
        await workspaces.gone(api, workspaces.path(team, "mistral"))


def about(claim: str) -> str:
    return f"fieldSelector=involvedObject.name={claim}"


async def ready_machines(plane: ControlPlane, api: Api, team: str, many: int) -> dict[str, str]:
    """Wait for so many claims to have a node, make each node ready, and name them by its claim."""
    while True:
        found = {
            claim["metadata"]["name"]: claim.get("status", {}).get("nodeName")
            for claim in await workspaces.claims(api, team, "mistral")
        }
        if len(found) == many and all(found.values()):
            break
        await asyncio.sleep(0.1)
    for node in found.values():
        await asyncio.to_thread(make_node_ready, plane, node, gpus=1)
    return found


def pod_on(node: str, name: str) -> Manifest:
    """Return a pod as the Deployment's would be: nobody here runs the controllers."""
    container = {"name": "mistral", "image": "example/mistral:1"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"kaito.sh/workspace": "mistral"}},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "containers": [container],
        },
    }


async def test_a_smaller_count_takes_one_claim_and_its_node_from_the_real_karpenter(
    karpenter_control_plane: ControlPlane, team: str, log: Path
) -> None:
    """The claim that goes is the one whose pod Kubernetes took, here the older; the other stays."""
    plane, path = karpenter_control_plane, workspaces.path(team, "mistral")
    pods = f"/api/v1/namespaces/{team}/pods"
    now = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
    async with running(plane, log) as api:
        await api.create(workspaces.path(team), workspaces.workspace(team))
        ((older, first),) = (await ready_machines(plane, api, team, 1)).items()
        await workspaces.present(api, workspaces.deployment_path(team, "mistral"))
        await api.create(pods, pod_on(first, "mistral-1"))
        await api.merge(path, {"resource": {"count": 2}})
        machines = await ready_machines(plane, api, team, 2)
        ((younger, second),) = ((claim, at) for claim, at in machines.items() if claim != older)
        await api.create(pods, pod_on(second, "mistral-2"))
        await workspaces.eventually(
            api, path, lambda found: len((found or {})["status"].get("workerNodes", ())) == 2
        )
        kept = await workspaces.present(api, f"{CLAIMS}/{younger}")

        await api.merge(path, {"resource": {"count": 1}})
        await workspaces.eventually(
            api,
            workspaces.deployment_path(team, "mistral"),
            lambda found: (found or {})["spec"]["replicas"] == 1,
        )
        claims = await workspaces.claims(api, team, "mistral")
        assert [each for each in claims if each["metadata"].get("deletionTimestamp")] == []
        await api.delete(f"{pods}/mistral-1", now)
        await workspaces.gone(api, f"{CLAIMS}/{older}")
        await workspaces.gone(api, f"/api/v1/nodes/{first}")

        await workspaces.eventually(
            api,
            path,
            lambda found: (found or {})["status"].get("workerNodes") == [second],
        )
        (left,) = await workspaces.claims(api, team, "mistral")
        assert left["metadata"]["uid"] == kept["metadata"]["uid"]
        assert "deletionTimestamp" not in left["metadata"]
        assert await api.get(f"/api/v1/nodes/{second}") is not None
        assert await api.get(f"{pods}/mistral-2") is not None, "nobody was drained from it"
        await api.delete(f"{pods}/mistral-2", now)
        await api.delete(path)
        await workspaces.gone(api, path)
        await workspaces.gone(api, f"/api/v1/nodes/{second}")
