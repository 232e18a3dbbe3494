"""More machines and fewer: the right one goes, and there is never one too many."""

import pytest

from tests.world import World, workspaces
from tests.world.api import Manifest
from tests.world.history import following
from tests.world.operator_process import Operator
from tests.world.oracles import too_many_claims

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),  # the first test of a run starts everything
]


async def test_the_machine_of_the_pod_that_kubernetes_takes_is_given_back(
    operator: Operator, world: World, team: str
) -> None:
    """Kubernetes takes a pod that is not ready first: here the one on the older machine."""
    path = workspaces.path(team, "mistral")
    async with following(world.api) as history:
        await world.api.create(workspaces.path(team), workspaces.workspace(team))
        await workspaces.in_phase(world.api, team, "mistral", "Ready")
        (older,) = await workspaces.claims(world.api, team, "mistral")
        await world.api.merge(path, {"resource": {"count": 2}})
        await workspaces.eventually(
            world.api, path, lambda found: len((found or {})["status"].get("workerNodes", ())) == 2
        )
        pods = f"/api/v1/namespaces/{team}/pods"
        while len(ready := [each for each in await world.api.items(pods) if is_ready(each)]) < 2:
            assert operator.runs
        first = older["metadata"]["name"]
        (failing,) = [each for each in ready if each["spec"]["nodeName"] == first]
        (serving,) = [each for each in ready if each["spec"]["nodeName"] != first]
        world.kubelet.models[failing["metadata"]["name"]].phase = "failed"
        await workspaces.eventually(
            world.api,
            f"{pods}/{failing['metadata']['name']}",
            lambda found: found is not None and not is_ready(found),
        )

        await world.api.merge(path, {"resource": {"count": 1}})

        while len(left := await workspaces.claims(world.api, team, "mistral")) > 1:
            assert operator.runs
        assert left[0]["metadata"]["name"] == serving["spec"]["nodeName"]
        (kept,) = await world.api.items(pods)
        assert kept["metadata"]["uid"] == serving["metadata"]["uid"], "it serves all along"
        await workspaces.in_phase(world.api, team, "mistral", "Ready")
        await history.caught_up()
        assert too_many_claims(history.of(team)) == []


def is_ready(pod: Manifest) -> bool:
    return workspaces.condition(pod, "Ready").get("status") == "True"
