"""A revision that crashes is taken back to the one that served, and an edit is tried again."""

import pytest

from tests.world import World, workspaces
from tests.world.api import Manifest
from tests.world.operator_process import Operator

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),  # the first test of a run starts everything
]

GOOD, BAD, BETTER = "registry.example/own:1", "registry.example/broken:2", "registry.example/own:3"


def templated(team: str, image: str) -> Manifest:
    made = workspaces.workspace(team)
    template = {"spec": {"containers": [{"name": "own", "image": image}]}}
    return made | {"inference": {"template": template}}


async def runs(world: World, team: str, image: str) -> Manifest:
    """Wait until the Deployment has this image and its pod is ready."""
    found = await workspaces.eventually(
        world.api,
        workspaces.deployment_path(team, "mistral"),
        lambda found: (
            found is not None
            and found["spec"]["template"]["spec"]["containers"][0]["image"] == image
            and found["status"].get("observedGeneration") == found["metadata"]["generation"]
            and found["status"].get("readyReplicas") == 1
            and found["status"].get("updatedReplicas") == 1
        ),
    )
    assert found is not None
    return found


async def edit(world: World, team: str, image: str) -> None:
    path = workspaces.path(team, "mistral")
    await world.api.merge(path, {"inference": templated(team, image)["inference"]})


async def test_a_revision_that_crashes_is_taken_back_and_an_edit_is_tried_again(
    operator: Operator, world: World, team: str
) -> None:
    await world.api.create(workspaces.path(team), templated(team, GOOD))
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    first = await runs(world, team, GOOD)

    await edit(world, team, BAD)
    told = await workspaces.with_reason(world.api, team, "mistral", "BackedOut")
    assert told["status"]["rollout"]["failed"] != told["status"]["rollout"]["serving"]
    message = workspaces.condition(told, "RolledOut")["message"]
    assert told["status"]["rollout"]["failed"] in message
    assert "exit code 3: the played container ended" in message
    back = await runs(world, team, GOOD)
    assert back["spec"]["template"] == first["spec"]["template"], "all of it came back"
    told = await workspaces.in_phase(world.api, team, "mistral", "BackedOut")
    assert workspaces.condition(told, "InferenceReady")["status"] == "True"

    generation = back["metadata"]["generation"]
    operator.stop()
    operator.start()
    await operator.leads()
    note = {"metadata": {"annotations": {"someone.example/note": "look"}}}
    await world.api.merge(workspaces.path(team, "mistral"), note)
    passes = await operator.metric("atelier_passes_total")
    while await operator.metric("atelier_passes_total") < passes + 2:
        assert operator.runs
        await world.api.merge(workspaces.path(team, "mistral"), note)
        note["metadata"]["annotations"]["someone.example/note"] += "!"
    still = await runs(world, team, GOOD)
    assert still["metadata"]["generation"] == generation, "a restart tries nothing again"

    await edit(world, team, BETTER)
    await runs(world, team, BETTER)
    ready = await workspaces.in_phase(world.api, team, "mistral", "Ready")
    assert "failed" not in ready["status"]["rollout"]
