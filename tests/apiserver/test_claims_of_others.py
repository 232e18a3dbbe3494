"""A NodeClaim of somebody else: with a name of ours it is left alone, with our labels taken."""

import pytest
from workspace_operator.objects.metadata import Identity, claim_name

from tests.world import World, workspaces
from tests.world.api import CLAIMS
from tests.world.operator_process import Operator

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),  # the first test of a run starts everything
]

PLAN_ONLY = "atelier.dev/plan"
LABELS = {"team": "other"}
TEMPLATE = {
    "apiVersion": "karpenter.sh/v1",
    "kind": "NodeClaim",
    "spec": {
        "nodeClassRef": {"group": "example.com", "kind": "Other", "name": "other"},
        "requirements": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}],
    },
}


async def test_a_claim_with_our_name_that_we_did_not_write(
    operator: Operator, world: World, team: str
) -> None:
    path = workspaces.path(team, "mistral")
    held = workspaces.workspace(team)
    held["metadata"]["annotations"] = {PLAN_ONLY: "only"}
    made = await world.api.create(workspaces.path(team), held)
    owner = Identity(name="mistral", namespace=team, uid=made["metadata"]["uid"])
    name = claim_name(owner, 0, 0)
    theirs = await world.api.create(
        CLAIMS, TEMPLATE | {"metadata": {"name": name, "labels": LABELS}}
    )

    await world.api.merge(path, {"metadata": {"annotations": {PLAN_ONLY: None}}})

    found = await workspaces.with_reason(world.api, team, "mistral", "NameConflict")
    ready = workspaces.condition(found, "Ready")
    assert f"NodeClaim {name} belongs to something else" in ready["message"]
    assert found["status"]["phase"] == "Blocked"
    assert await workspaces.claims(world.api, team, "mistral") == [], "no way round it"
    await world.api.delete(path)
    await workspaces.gone(world.api, path)
    untouched = await world.api.get(f"{CLAIMS}/{name}")
    assert untouched is not None
    assert untouched["metadata"]["uid"] == theirs["metadata"]["uid"]
    assert "deletionTimestamp" not in untouched["metadata"]
    assert untouched["metadata"]["labels"] == LABELS
    assert operator.runs
    await world.api.delete(f"{CLAIMS}/{name}")


async def test_a_claim_of_ours_that_lost_everything_is_not_taken_for_one_of_others(
    operator: Operator, world: World, team: str
) -> None:
    await world.api.create(workspaces.path(team), workspaces.workspace(team))
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    (claim,) = await workspaces.claims(world.api, team, "mistral")
    name = claim["metadata"]["name"]
    bare = {"labels": None, "annotations": None}
    passes = await operator.metric("atelier_passes_total")
    await world.api.merge(f"{CLAIMS}/{name}", {"metadata": bare})
    note = {"metadata": {"annotations": {"someone.example/note": "look"}}}
    await world.api.merge(workspaces.path(team, "mistral"), note)
    while await operator.metric("atelier_passes_total") <= passes:
        assert operator.runs
    still = await world.api.get(workspaces.path(team, "mistral"))
    assert still is not None
    assert still["status"]["phase"] == "Ready"
    await world.api.delete(workspaces.path(team, "mistral"))
    await workspaces.gone(world.api, workspaces.path(team, "mistral"))
    assert await world.api.get(f"{CLAIMS}/{name}") is None, "its machine is given back"


async def test_a_claim_that_somebody_makes_for_a_ready_workspace_is_one_too_many(
    operator: Operator, world: World, team: str
) -> None:
    """No status knows its name and no pass lists: the watch has shown it."""
    path = workspaces.path(team, "mistral")
    await world.api.create(workspaces.path(team), workspaces.workspace(team))
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    (claim,) = await workspaces.claims(world.api, team, "mistral")
    name = f"theirs-{team}"
    labels = claim["metadata"]["labels"]
    await world.api.create(CLAIMS, TEMPLATE | {"metadata": {"name": name, "labels": labels}})
    await workspaces.gone(world.api, f"{CLAIMS}/{name}")
    (still,) = await workspaces.claims(world.api, team, "mistral")
    assert still["metadata"]["uid"] == claim["metadata"]["uid"]
    assert "deletionTimestamp" not in still["metadata"]
    assert operator.runs
    await world.api.delete(path)
    await workspaces.gone(world.api, path)


async def test_a_claim_that_somebody_has_made_before_is_taken_and_none_is_bought(
    operator: Operator, world: World, team: str
) -> None:
    held = workspaces.workspace(team)
    held["metadata"]["annotations"] = {PLAN_ONLY: "only"}
    await world.api.create(workspaces.path(team), held)
    name = f"theirs-{team}"
    labels = {"kaito.sh/workspace": "mistral", "kaito.sh/workspacenamespace": team}
    await world.api.create(CLAIMS, TEMPLATE | {"metadata": {"name": name, "labels": labels}})
    path = workspaces.path(team, "mistral")
    await world.api.merge(path, {"metadata": {"annotations": {PLAN_ONLY: None}}})
    await workspaces.in_phase(world.api, team, "mistral", "RegisteringNode")
    (claim,) = await workspaces.claims(world.api, team, "mistral")
    assert claim["metadata"]["name"] == name
    assert operator.runs
    await world.api.delete(path)
    await workspaces.gone(world.api, path)
