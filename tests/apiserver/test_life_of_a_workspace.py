"""A Workspace from its manifest to a token, and away again, on a real API server."""

import asyncio

import pytest
import yaml

from tests.cluster import ControlPlane
from tests.world import World, workspaces
from tests.world.api import CLAIMS, Manifest
from tests.world.operator_process import ROOT, Operator

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),  # the first test of a run starts everything
]

EXAMPLE = ROOT / "examples" / "mistral-7b-instruct.yaml"


async def test_the_example_becomes_ready_with_kaitos_columns(
    operator: Operator, world: World, team: str, populated: ControlPlane
) -> None:
    example = yaml.safe_load(EXAMPLE.read_text())
    name = example["metadata"]["name"]
    populated.kubectl("apply", "-n", team, "-f", str(EXAMPLE))
    succeeded = ["wait", "-n", team, "--for=condition=WorkspaceSucceeded", f"workspace/{name}"]
    await asyncio.to_thread(populated.kubectl, *succeeded, "--timeout=40s")
    table = populated.kubectl("get", "workspace", "-n", team, name).stdout.splitlines()
    columns = dict(zip(table[0].split(), table[1].split(), strict=False))
    assert columns["INSTANCE"] == "Standard_NC24ads_A100_v4"
    assert columns["RESOURCEREADY"] == columns["INFERENCEREADY"] == "True"
    assert columns["WORKSPACESUCCEEDED"] or columns["STATE"] == "Ready"
    ready = await workspaces.in_phase(world.api, team, name, "Ready")
    assert ready["status"]["model"]["name"] == "mistral-7b-instruct"
    assert ready["metadata"]["finalizers"] == ["workspace.finalizer.kaito.sh"]
    (model,) = [each for pod, each in world.kubelet.models.items() if pod.startswith(name)]
    assert model.tokens >= 1, "Ready means that a token was generated"
    assert operator.runs


async def test_every_phase_is_announced_once(operator: Operator, world: World, team: str) -> None:
    _ = operator
    await world.api.create(workspaces.path(team), workspaces.workspace(team))
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    announced = await workspaces.eventually(  # the event follows the status
        world.api,
        f"/apis/events.k8s.io/v1/namespaces/{team}/events",
        lambda found: found is not None and "Ready" in reasons_of(found),
    )
    assert announced is not None
    reasons = reasons_of(announced)
    assert len(reasons) == len(set(reasons))


def reasons_of(events: Manifest) -> list[str]:
    """Return the reasons of the events that speak of a Workspace."""
    return [each["reason"] for each in events["items"] if each["regarding"]["kind"] == "Workspace"]


async def test_a_pass_without_news_writes_nothing(
    operator: Operator, world: World, team: str
) -> None:
    await world.api.create(workspaces.path(team), workspaces.workspace(team))
    ready = await workspaces.in_phase(world.api, team, "mistral", "Ready")
    (claim,) = await workspaces.claims(world.api, team, "mistral")
    passes, writes = await operator.metric("atelier_passes_total"), await operator.writes()
    for number in range(3):
        note = {"metadata": {"annotations": {"someone.example/note": str(number)}}}
        await world.api.merge(f"{CLAIMS}/{claim['metadata']['name']}", note)
        while await operator.metric("atelier_passes_total") <= passes + number:
            assert operator.runs
    assert await operator.writes() == writes
    after = await world.api.get(workspaces.path(team, "mistral"))
    assert after == ready


async def test_a_model_that_stops_answering_is_no_longer_ready_and_comes_back(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    await world.api.create(workspaces.path(team), workspaces.workspace(team, "fickle"))
    await workspaces.in_phase(world.api, team, "fickle", "Ready")
    (model,) = [each for pod, each in world.kubelet.models.items() if pod.startswith("fickle")]
    model.phase = "failed"
    fallen = await workspaces.eventually(
        world.api,
        workspaces.path(team, "fickle"),
        lambda found: (
            found is not None and workspaces.condition(found, "InferenceReady")["status"] == "False"
        ),
    )
    assert fallen is not None
    assert fallen["status"]["state"] == "NotReady"
    model.phase = "ready"
    await workspaces.in_phase(world.api, team, "fickle", "Ready")


async def test_what_somebody_changes_comes_back_and_what_is_theirs_stays(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    await world.api.create(workspaces.path(team), workspaces.workspace(team))
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    deployment = workspaces.deployment_path(team, "mistral")
    await world.api.merge(
        deployment, {"metadata": {"annotations": {"team": "blue"}}, "spec": {"replicas": 3}}
    )
    restored = await workspaces.eventually(
        world.api, deployment, lambda found: found is not None and found["spec"]["replicas"] == 1
    )
    assert restored is not None
    assert restored["metadata"]["annotations"]["team"] == "blue"
    await world.api.delete(workspaces.service_path(team, "mistral"))
    await workspaces.present(world.api, workspaces.service_path(team, "mistral"))


async def test_a_deployment_of_somebody_else_is_not_taken_over(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    labels = {"app": "theirs"}
    theirs = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "mistral", "namespace": team},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "x", "image": "example/x:1"}]},
            },
        },
    }
    await world.api.create(f"/apis/apps/v1/namespaces/{team}/deployments", theirs)
    await world.api.create(workspaces.path(team), workspaces.workspace(team))
    found = await workspaces.with_reason(world.api, team, "mistral", "NameConflict")
    assert "Deployment mistral" in workspaces.condition(found, "Ready")["message"]
    await world.api.delete(workspaces.path(team, "mistral"))
    await workspaces.gone(world.api, workspaces.path(team, "mistral"))
    untouched = await workspaces.present(world.api, workspaces.deployment_path(team, "mistral"))
    assert untouched["spec"]["selector"]["matchLabels"] == labels
