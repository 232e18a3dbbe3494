"""A Workspace that brings its own pod template: tried before it is paid for, run, rolled out."""

import pytest

from tests.world import World, workspaces
from tests.world.api import Manifest
from tests.world.operator_process import Operator

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),  # the first test of a run starts everything
]


NAME = "own-pod"
DEPLOYMENT_WRITES = 'atelier_writes_total{kind="Deployment"'


def templated(team: str, **spec: object) -> Manifest:
    made = workspaces.workspace(team, NAME)
    container = {
        "name": "own",
        "image": "registry.example/own:1",
        "ports": [{"containerPort": 8000}],
    }
    made["inference"] = {
        "template": {
            "metadata": {"labels": {"app": "own"}, "creationTimestamp": None},
            # Values that come back from the API server in another form, or not at all.
            "spec": {"containers": [container], "hostNetwork": False, "dnsConfig": None, **spec},
        }
    }
    return made


async def deployment(world: World, team: str) -> Manifest:
    return await workspaces.present(world.api, workspaces.deployment_path(team, NAME))


async def test_a_template_runs_with_its_own_readiness_and_its_edits_are_rolled_out_whole(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    await world.api.create(workspaces.path(team), templated(team))
    ready = await workspaces.in_phase(world.api, team, NAME, "Ready")
    assert "asked for no token" in workspaces.condition(ready, "InferenceReady")["message"]
    assert workspaces.condition(ready, "WeightsLoaded") == {}
    (model,) = [each for pod, each in world.kubelet.models.items() if pod.startswith(NAME)]
    assert model.tokens == 0
    service = await workspaces.present(world.api, workspaces.service_path(team, NAME))
    assert service["spec"]["ports"][0]["targetPort"] == 8000
    first = await deployment(world, team)
    pod = first["spec"]["template"]
    assert pod["metadata"]["labels"] == {"app": "own", "kaito.sh/workspace": NAME}
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    path = workspaces.path(team, NAME)
    container = {"name": "own", "image": "registry.example/own:1", "command": ["serve"]}
    edit: Manifest = {
        "metadata": {"labels": {"app": None, "role": "renamed"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 7},
    }
    await world.api.merge(path, {"inference": {"template": edit}})
    rolled = await workspaces.eventually(
        world.api,
        workspaces.deployment_path(team, NAME),
        lambda found: found is not None and found["metadata"]["generation"] > 1,
    )
    assert rolled is not None
    pod = rolled["spec"]["template"]
    assert pod["metadata"]["labels"] == {"role": "renamed", "kaito.sh/workspace": NAME}
    assert pod["spec"]["terminationGracePeriodSeconds"] == 7
    (found,) = pod["spec"]["containers"]
    assert (found["command"], found.get("ports")) == (["serve"], None)
    await workspaces.eventually(
        world.api,
        workspaces.service_path(team, NAME),
        lambda found: found is not None and found["spec"]["ports"][0]["targetPort"] == 5000,
    )


async def test_a_template_whose_zeros_the_api_server_drops_is_not_applied_for_ever(
    operator: Operator, world: World, team: str
) -> None:
    await world.api.create(workspaces.path(team), templated(team))
    await workspaces.in_phase(world.api, team, NAME, "Ready")
    assert "hostNetwork" not in (await deployment(world, team))["spec"]["template"]["spec"]
    path = workspaces.path(team, NAME)
    writes = None
    for number in range(4):
        if number == 2:  # by then an apply that changed nothing has been noticed
            writes = await operator.metric(DEPLOYMENT_WRITES)
        passes = await operator.metric("atelier_passes_total")
        await world.api.merge(path, {"metadata": {"annotations": {"x.example/n": str(number)}}})
        while await operator.metric("atelier_passes_total") == passes:
            assert operator.runs
    assert await operator.metric(DEPLOYMENT_WRITES) == writes


async def test_what_is_no_pod_template_buys_nothing_and_is_answered_in_the_api_servers_words(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    wrong = templated(team, contaners=[])
    await world.api.create(workspaces.path(team), wrong)
    found = await workspaces.with_reason(world.api, team, NAME, "TemplateRefused")
    message = workspaces.condition(found, "PlanFits")["message"]
    assert "inference.template.spec.contaners: field not declared in schema" in message
    assert await workspaces.claims(world.api, team, NAME) == []
    path = workspaces.path(team, NAME)
    for wanting, words in (
        ({"containers": []}, "inference.template.spec.containers: Required value"),
        ({"containers": "none"}, "inference.template.spec.containers: expected list"),
        (
            {"restartPolicy": "Never", "contaners": None},
            "inference.template.spec.restartPolicy: Un",
        ),
    ):
        spec = templated(team, **wanting)["inference"]["template"]["spec"]
        await world.api.merge(path, {"inference": {"template": {"spec": {"contaners": None}}}})
        await world.api.merge(path, {"inference": {"template": {"spec": spec}}})
        await workspaces.eventually(
            world.api,
            path,
            lambda found, words=words: (  # type: ignore[misc]  # bound for this round
                found is not None and words in workspaces.condition(found, "PlanFits")["message"]
            ),
        )
    right = templated(team, restartPolicy="Always", contaners=None)
    await world.api.merge(path, {"inference": right["inference"]})
    await workspaces.in_phase(world.api, team, NAME, "Ready")
