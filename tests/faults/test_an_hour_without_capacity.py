"""The cloud has nothing for an hour: few claims, few writes, and the reason stays in view."""

import asyncio

import pytest

from tests.fault_table.scenarios import Stage
from tests.world import workspaces
from tests.world.api import Manifest
from tests.world.cloud import NO_CAPACITY_MESSAGE

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(240),
]

SCALE = 240.0  # an hour in a quarter of a minute
HOUR_SECONDS = 3600.0 / SCALE
WORKSPACES = 5
MOST_CLAIMS = 10
# Two writes a second for a hundred Workspaces, in an hour of one of them.
MOST_WRITES = 72


def tells_why(found: Manifest | None) -> bool:
    return NO_CAPACITY_MESSAGE in str(workspaces.condition(found or {}, "Ready").get("message"))


async def test_at_most_ten_claims_and_few_writes(stage: Stage) -> None:
    """Faults 21 and 24, goal G5."""
    bench, api = stage.bench, stage.bench.world.api
    bench.run_by(SCALE)
    bench.world.cloud.has_capacity = False
    names = [f"w{number}" for number in range(WORKSPACES)]
    before = len(bench.proxy.log)
    try:
        for name in names:
            made = workspaces.workspace(stage.team, name)
            await api.create(workspaces.path(stage.team), made)
        # The hour itself is what is tried: no event ends it, and nothing has to happen in it.
        await asyncio.sleep(HOUR_SECONDS)
        for name in names:  # while a claim is on its way another sentence stands there
            await workspaces.eventually(api, workspaces.path(stage.team, name), tells_why)
    finally:
        bench.world.cloud.has_capacity = True
    writes = [
        each
        for each in bench.proxy.log[before:]
        if each.asked.is_write and stage.concerns(each.asked)
    ]
    asked = bench.history.claim_names(stage.team)
    assert WORKSPACES < len(asked) <= MOST_CLAIMS * WORKSPACES
    assert len(writes) <= MOST_WRITES * WORKSPACES
