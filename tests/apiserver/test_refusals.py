"""What cannot be had is said at once, kept in view, and tried again no faster than promised."""

import asyncio
import time

import pytest

from tests.cluster import ControlPlane
from tests.world import World, workspaces
from tests.world.api import Api, ApiError, Manifest
from tests.world.cloud import NO_CAPACITY_MESSAGE
from tests.world.operator_process import Operator

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),  # the first test of a run starts everything
]


async def test_no_capacity_is_still_explained_when_the_claim_is_gone(
    operator: Operator, world: World, team: str
) -> None:
    world.cloud.has_capacity = False
    try:
        await world.api.create(workspaces.path(team), workspaces.workspace(team))
        waiting = await workspaces.in_phase(world.api, team, "mistral", "WaitingForCapacity")
    finally:
        world.cloud.has_capacity = True
    assert await workspaces.claims(world.api, team, "mistral") == []
    message = workspaces.condition(waiting, "Ready")["message"]
    assert NO_CAPACITY_MESSAGE in message
    assert "Failed tries: 1" in message
    (attempt,) = waiting["status"]["nodeAttempts"]
    assert attempt["attempt"] == 1
    assert "claim" not in attempt
    passes = await operator.metric("atelier_passes_total")
    note = {"metadata": {"annotations": {"someone.example/note": "look"}}}
    await world.api.merge(workspaces.path(team, "mistral"), note)
    while await operator.metric("atelier_passes_total") == passes:
        assert operator.runs
    assert await workspaces.claims(world.api, team, "mistral") == [], "the pause is kept"
    await world.api.delete(workspaces.path(team, "mistral"))
    await workspaces.gone(world.api, workspaces.path(team, "mistral"))


async def refused(api: Api, team: str, workspace: Manifest) -> str | None:
    """Create a Workspace, and return what the API server has against it."""
    try:
        await api.create(workspaces.path(team), workspace)
    except ApiError as refusal:
        await asyncio.sleep(0.05)
        return str(refusal)
    return None


async def test_a_preset_that_left_the_catalog_is_named_with_its_nearest_neighbours(
    operator: Operator, world: World, team: str, populated: ControlPlane
) -> None:
    """The policy refuses such a name; where that is switched off, a condition explains it."""
    _ = operator
    binding = ("validatingadmissionpolicybinding", "atelier-presets")
    held = populated.read("get", *binding)
    populated.kubectl("delete", *binding)
    unknown = workspaces.workspace(team, preset="mistral-7b-instruckt")
    try:
        while (refusal := await refused(world.api, team, unknown)) is not None:
            assert "did you mean mistral-7b-instruct" in refusal
    finally:
        metadata = {each: held["metadata"][each] for each in ("name", "labels")}
        kept = {each: held[each] for each in ("apiVersion", "kind", "spec")}
        populated.apply({**kept, "metadata": metadata})
    posted = time.monotonic()
    found = await workspaces.with_reason(world.api, team, "mistral", "UnknownPreset")
    assert time.monotonic() - posted < 10, "nothing is waited for"
    message = workspaces.condition(found, "Ready")["message"]
    assert "did you mean mistral-7b-instruct" in message
    assert found["metadata"].get("finalizers") is None, "nothing was made, nothing is held"
    assert await workspaces.claims(world.api, team, "mistral") == []


async def test_what_does_not_fit_buys_nothing(operator: Operator, world: World, team: str) -> None:
    _ = operator
    small = workspaces.workspace(team, instanceType="Standard_NC4as_T4_v3")
    await world.api.create(workspaces.path(team), small)
    found = await workspaces.with_reason(world.api, team, "mistral", "MemoryDoesNotFit")
    assert "Standard_NC4as_T4_v3" in workspaces.condition(found, "PlanFits")["message"]
    assert await workspaces.claims(world.api, team, "mistral") == []


async def test_a_machine_that_vanishes_is_replaced_by_one(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    await world.api.create(workspaces.path(team), workspaces.workspace(team))
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    (claim,) = await workspaces.claims(world.api, team, "mistral")
    world.cloud.has_capacity = False
    try:
        await world.api.delete(f"/apis/karpenter.sh/v1/nodeclaims/{claim['metadata']['name']}")
        fallen = await workspaces.eventually(
            world.api,
            workspaces.path(team, "mistral"),
            lambda found: (
                found is not None
                and workspaces.condition(found, "ResourceReady")["status"] == "False"
            ),
        )
    finally:
        world.cloud.has_capacity = True
    assert fallen is not None
    assert fallen["status"]["state"] == "NotReady"
    assert await workspaces.present(world.api, workspaces.deployment_path(team, "mistral"))
    await world.api.delete(workspaces.path(team, "mistral"))
    await workspaces.gone(world.api, workspaces.path(team, "mistral"))
