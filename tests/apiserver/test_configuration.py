"""A ConfigMap tunes the server, is rolled out when it changes, and explained when it is wrong."""

import time

import pytest

from tests.world import World, workspaces
from tests.world.api import Manifest
from tests.world.operator_process import Operator

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),  # the first test of a run starts everything
]

KEY = "inference_config.yaml"


def config_path(team: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{team}/configmaps" + (f"/{name}" if name else "")


def tuned(team: str) -> Manifest:
    made = workspaces.workspace(team)
    made["inference"]["config"] = "tuned"
    return made


async def write(world: World, team: str, text: str) -> None:
    manifest = {"metadata": {"name": "tuned"}, "data": {KEY: text}}
    await world.api.create(config_path(team), manifest)


async def nudge(world: World, team: str) -> None:
    """Cause a pass now, instead of at the next look."""
    note = {"metadata": {"annotations": {"someone.example/note": str(time.monotonic())}}}
    await world.api.merge(workspaces.path(team, "mistral"), note)


async def arguments(world: World, team: str) -> list[str]:
    found = await world.api.get(workspaces.deployment_path(team, "mistral"))
    assert found is not None
    containers = found["spec"]["template"]["spec"]["containers"]
    given: list[str] = containers[0]["args"]
    return given


async def test_a_config_map_that_is_missing_is_named_and_nothing_is_bought(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    await world.api.create(workspaces.path(team), tuned(team))
    found = await workspaces.with_reason(world.api, team, "mistral", "ConfigMapNotFound")
    assert "create it with the key" in workspaces.condition(found, "PlanFits")["message"]
    assert await workspaces.claims(world.api, team, "mistral") == []
    await write(world, team, "server: {max-sequence: 4}")
    await nudge(world, team)
    found = await workspaces.with_reason(world.api, team, "mistral", "ConfigInvalid")
    assert "did you mean max-sequences?" in workspaces.condition(found, "Ready")["message"]
    assert await workspaces.claims(world.api, team, "mistral") == []
    await world.api.merge(config_path(team, "tuned"), {"data": {KEY: "server: {}"}})
    await nudge(world, team)
    await workspaces.in_phase(world.api, team, "mistral", "Ready")


async def test_an_edit_of_the_config_map_rolls_the_pods_and_a_comment_does_not(
    operator: Operator, world: World, team: str
) -> None:
    await write(world, team, "server: {max-sequences: 4, drain-seconds: 40}")
    await world.api.create(workspaces.path(team), tuned(team))
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    assert "--max-sequences=4" in await arguments(world, team)
    deployment = workspaces.deployment_path(team, "mistral")
    before = await workspaces.present(world.api, deployment)
    assert before["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 45
    comment = "# calm\nserver: {max-sequences: 4, drain-seconds: 40}"
    await world.api.merge(config_path(team, "tuned"), {"data": {KEY: comment}})
    passes = await operator.metric("atelier_passes_total")
    await nudge(world, team)
    while await operator.metric("atelier_passes_total") == passes:
        assert operator.runs
    same = await workspaces.present(world.api, deployment)
    assert same["metadata"]["generation"] == before["metadata"]["generation"]
    await world.api.merge(config_path(team, "tuned"), {"data": {KEY: "vllm: {max-num-seqs: 6}"}})
    await nudge(world, team)
    await workspaces.eventually(
        world.api,
        deployment,
        lambda found: (
            found is not None
            and found["metadata"]["generation"] > before["metadata"]["generation"]
            and found["status"].get("updatedReplicas") == 1
            and found["status"].get("readyReplicas") == 1
        ),
    )
    assert "--max-sequences=6" in await arguments(world, team)


async def test_a_model_that_answers_goes_on_while_its_config_map_is_refused(
    operator: Operator, world: World, team: str
) -> None:
    """What is asked for is refused and said so; what runs is served, told and left alone."""
    _ = operator
    await write(world, team, "server: {max-sequences: 4}")
    await world.api.create(workspaces.path(team), tuned(team))
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    deployment = workspaces.deployment_path(team, "mistral")
    before = await workspaces.present(world.api, deployment)

    await world.api.merge(config_path(team, "tuned"), {"data": {KEY: "server: {max-sequence: 4}"}})
    await nudge(world, team)
    found = await workspaces.with_reason(world.api, team, "mistral", "ConfigInvalid")

    for kind, verdict in {
        "SpecValid": "True",
        "PlanFits": "False",
        "ResourceReady": "True",
        "RolledOut": "False",
        "InferenceReady": "True",
        "WorkspaceSucceeded": "True",
        "Ready": "False",
        "Stalled": "True",
    }.items():
        condition = workspaces.condition(found, kind)
        assert condition["status"] == verdict, condition
        assert condition["observedGeneration"] == found["metadata"]["generation"]
    message = workspaces.condition(found, "Ready")["message"]
    assert "did you mean max-sequences?" in message
    assert message.endswith("The model goes on answering as it was before that.")
    assert found["status"]["state"] == "Ready"
    same = await workspaces.present(world.api, deployment)
    assert same["metadata"]["generation"] == before["metadata"]["generation"]
    assert same["status"]["readyReplicas"] == 1

    (pod,) = await world.api.items(f"/api/v1/namespaces/{team}/pods")
    model = world.kubelet.models[pod["metadata"]["name"]]
    model.phase = "loading"
    await workspaces.eventually(
        world.api,
        workspaces.path(team, "mistral"),
        lambda found: found is not None and found["status"]["state"] == "NotReady",
    )
    model.phase = "ready"
    await world.api.merge(config_path(team, "tuned"), {"data": {KEY: "server: {}"}})
    await nudge(world, team)
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
