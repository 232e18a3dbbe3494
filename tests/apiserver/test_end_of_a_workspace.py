"""Whenever a Workspace is deleted, nothing of it stays, and no machine above all."""

import asyncio

import pytest

from tests.cluster import ControlPlane
from tests.world import World, workspaces
from tests.world.api import CLAIMS
from tests.world.operator_process import Operator

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),  # the first test of a run starts everything
]


async def nothing_is_left(world: World, team: str, name: str) -> None:
    await workspaces.gone(world.api, workspaces.path(team, name))
    # An API server that deletes a Workspace while its finalizer is being written may lose the
    # finalizer; what was asked for in that moment goes a moment later.
    while await workspaces.claims(world.api, team, name):  # noqa: ASYNC110 - remote
        await asyncio.sleep(0.05)
    await workspaces.gone(world.api, workspaces.deployment_path(team, name))
    await workspaces.gone(world.api, workspaces.service_path(team, name))


async def test_deleted_at_once(operator: Operator, world: World, team: str) -> None:
    _ = operator
    await world.api.create(workspaces.path(team), workspaces.workspace(team))
    await world.api.delete(workspaces.path(team, "mistral"))
    await nothing_is_left(world, team, "mistral")


async def test_deleted_while_its_machine_is_on_the_way(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    world.cloud.makes_nodes = False
    try:
        await world.api.create(workspaces.path(team), workspaces.workspace(team))
        await workspaces.in_phase(world.api, team, "mistral", "LaunchingNode")
        assert len(await workspaces.claims(world.api, team, "mistral")) == 1
        await world.api.delete(workspaces.path(team, "mistral"))
        await nothing_is_left(world, team, "mistral")
    finally:
        world.cloud.makes_nodes = True


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
async def test_deleted_when_ready_in_every_way_of_deletion(
    operator: Operator, world: World, team: str, policy: str
) -> None:
    _ = operator
    await world.api.create(workspaces.path(team), workspaces.workspace(team))
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy}
    await world.api.delete(workspaces.path(team, "mistral"), options)
    await nothing_is_left(world, team, "mistral")


async def test_a_namespace_with_a_workspace_in_it_can_be_deleted(
    operator: Operator, world: World, populated: ControlPlane
) -> None:
    _ = operator
    team = populated.create_namespace()
    await world.api.create(workspaces.path(team), workspaces.workspace(team))
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    await world.api.delete(f"/api/v1/namespaces/{team}")
    await workspaces.gone(world.api, f"/api/v1/namespaces/{team}")
    assert await workspaces.claims(world.api, team, "mistral") == []


async def test_a_namesake_gets_a_machine_of_its_own(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    await world.api.create(workspaces.path(team), workspaces.workspace(team))
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    (first,) = await workspaces.claims(world.api, team, "mistral")
    await world.api.delete(workspaces.path(team, "mistral"))
    await nothing_is_left(world, team, "mistral")
    await world.api.create(workspaces.path(team), workspaces.workspace(team))
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    (second,) = await workspaces.claims(world.api, team, "mistral")
    assert first["metadata"]["name"] != second["metadata"]["name"]


async def test_other_finalizers_do_not_keep_the_machine(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    held = workspaces.workspace(team)
    held["metadata"]["finalizers"] = ["example.org/audit"]
    await world.api.create(workspaces.path(team), held)
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    await world.api.delete(workspaces.path(team, "mistral"))
    left = await workspaces.eventually(
        world.api,
        workspaces.path(team, "mistral"),
        lambda found: (
            found is not None and found["metadata"]["finalizers"] == ["example.org/audit"]
        ),
    )
    assert left is not None
    assert await workspaces.claims(world.api, team, "mistral") == []
    await world.api.merge(workspaces.path(team, "mistral"), {"metadata": {"finalizers": None}})
    await nothing_is_left(world, team, "mistral")


async def test_a_finalizer_that_was_torn_off_leaves_no_machine(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    await world.api.create(workspaces.path(team), workspaces.workspace(team))
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    (claim,) = await workspaces.claims(world.api, team, "mistral")
    await world.api.delete(workspaces.path(team, "mistral"))
    await world.api.merge(workspaces.path(team, "mistral"), {"metadata": {"finalizers": None}})
    await workspaces.gone(world.api, f"{CLAIMS}/{claim['metadata']['name']}")
