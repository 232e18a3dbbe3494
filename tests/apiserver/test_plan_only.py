"""A user who wants to see the plan first gets all of it, and pays for nothing."""

import pytest

from tests.world import World, workspaces
from tests.world.operator_process import Operator

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),  # the first test of a run starts everything
]


async def test_nothing_is_made_until_the_annotation_goes(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    only = workspaces.workspace(team)
    only["metadata"]["annotations"] = {"atelier.dev/plan": "only"}
    await world.api.create(workspaces.path(team), only)
    found = await workspaces.in_phase(world.api, team, "mistral", "Planned")
    plan = found["status"]["plan"]
    assert plan["options"][0]["instanceType"] == "Standard_NC24ads_A100_v4"
    assert plan["options"][0]["fits"] is True
    assert found["metadata"].get("finalizers") is None, "nothing was made, nothing is held"
    assert await workspaces.claims(world.api, team, "mistral") == []
    assert await world.api.get(workspaces.service_path(team, "mistral")) is None
    go_ahead = {"metadata": {"annotations": {"atelier.dev/plan": None}}}
    await world.api.merge(workspaces.path(team, "mistral"), go_ahead)
    ready = await workspaces.in_phase(world.api, team, "mistral", "Ready")
    assert "options" not in ready["status"]["plan"]
    await world.api.delete(workspaces.path(team, "mistral"))
    await workspaces.gone(world.api, workspaces.path(team, "mistral"))
