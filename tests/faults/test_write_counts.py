"""Count what a Workspace costs the API server in its life (goal G15), whatever the clock."""

from collections import Counter

import pytest

from tests.fault_table import Bench
from tests.world import workspaces
from tests.world.oracles.quiet import concerns

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(240),
]

CHILDREN = ("deployments", "services", "networkpolicies")
MOST_TOLD = 4  # launching, scheduling, ready, deleting; what follows closely is told as one


def about(bench: Bench, team: str, first: int) -> list[str]:
    """Name the requests since then that were about one namespace's Workspace."""
    claims = bench.history.claim_names(team)
    asked = (each.asked for each in bench.proxy.log[first:] if each.asked.verb != "WATCH")
    return [
        f"{each.verb} {each.plural}" + ("/status" if each.path.endswith("/status") else "")
        for each in asked
        if concerns(each, team, claims)
    ]


async def test_a_life_of_a_workspace_costs_so_many_writes_and_no_more(bench: Bench) -> None:
    bench.run_by(1.0)
    team = await bench.make_team()
    first = len(bench.proxy.log)
    await bench.world.api.create(workspaces.path(team), workspaces.workspace(team))
    await workspaces.in_phase(bench.world.api, team, "mistral", "Ready")
    risen = about(bench, team, first)
    await bench.world.api.delete(workspaces.path(team, "mistral"))
    await workspaces.gone(bench.world.api, workspaces.path(team, "mistral"))
    life = Counter(about(bench, team, first))

    assert risen[:2] == ["PATCH workspaces", "POST nodeclaims"], "the machine first, unread"
    assert "LIST pods" not in risen[: risen.index("POST deployments")], "nobody could be there"
    told = life["PATCH workspaces/status"]
    assert life["POST events"] <= told <= MOST_TOLD
    assert life["POST nodeclaims"] == life["DELETE nodeclaims"] == 1
    assert life["PATCH workspaces"] == 2, "the finalizer comes and goes"
    for child in CHILDREN:
        assert (life[f"POST {child}"], life[f"DELETE {child}"], life[f"PATCH {child}"]) == (1, 1, 0)
