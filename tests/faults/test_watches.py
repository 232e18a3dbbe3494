"""Watches that lie, stall or end: what was missed is found, and nothing is made for a ghost."""

import asyncio
import json
import time
from collections.abc import Iterable

import pytest

from tests.fault_table.cases import take_away
from tests.fault_table.scenarios import Stage
from tests.world import workspaces
from tests.world.fault_rules import Answer, Asked, Rule, refusal
from tests.world.oracles.quiet import late_writes

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(240),
]

# The sweep comes every 60 s; here a minute takes three seconds.
FAST = 20.0
# The library that watches gives up at the ninth refusal, unless it is told not to.
MANY_TRIES = 11
BROKEN = {
    "type": "ERROR",
    "object": {"kind": "Status", "apiVersion": "v1", "code": 500, "message": "boom"},
}


async def test_a_deletion_that_no_watch_told_is_found_by_the_sweep(stage: Stage) -> None:
    """Fault 6, goal G4: the watches are cut, and come back when it is over."""
    stage.bench.run_by(FAST)
    await stage.apply()
    await stage.ready()
    proxy, api = stage.bench.proxy, stage.bench.world.api
    deny = Rule(action=refusal(503, "no watch"), picks=lambda asked: asked.verb == "WATCH")
    with proxy.obeying(deny):
        assert proxy.streams.cut()
        await api.delete(workspaces.service_path(stage.team, "mistral"))
        await workspaces.present(api, workspaces.service_path(stage.team, "mistral"))
        await api.delete(workspaces.path(stage.team, "mistral"))
        await stage.gone()
    assert stage.bench.operator.runs
    over = time.monotonic()
    other = Stage(bench=stage.bench, team=await stage.bench.make_team())
    await other.apply()  # what is told of it comes after all that is told of the one that is gone
    await other.ready()
    await take_away(stage.bench, other.team)
    claims = stage.bench.history.claim_names(stage.team)
    assert late_writes(proxy.log, over, stage.team, claims) == [], "no ghost"


async def test_watches_that_are_refused_for_minutes_end_nothing(stage: Stage) -> None:
    """Faults 6 and 13, goal G4: the sweep does the work until they are let in again."""
    stage.bench.run_by(FAST)
    await stage.apply()
    await stage.ready()
    proxy, operator = stage.bench.proxy, stage.bench.operator
    deny = Rule(action=refusal(503, "no watch"), picks=lambda asked: asked.verb == "WATCH")
    with proxy.obeying(deny):
        watches = proxy.streams.cut()
        while operator.runs and deny.done < MANY_TRIES * watches:  # noqa: ASYNC110 - it asks
            await asyncio.sleep(0.05)
        assert operator.runs
        await stage.change({"resource": {"count": 2}})
        await stage.ready(2)
    while len(proxy.streams) < watches:  # noqa: ASYNC110 - another process opens them
        await asyncio.sleep(0.05)
    assert operator.runs


async def test_a_watch_that_stalls_hides_nothing_for_long(stage: Stage) -> None:
    """Fault 7, goal G4: every connection stays open, and no line comes through."""
    stage.bench.run_by(FAST)
    while len(stage.bench.proxy.streams) < 5:  # noqa: ASYNC110 - another process opens them
        await asyncio.sleep(0.05)
    stage.bench.proxy.streams.stall()
    await stage.apply()
    await stage.ready()
    await stage.delete()
    await stage.gone()


async def test_an_error_line_ends_the_process_at_most_and_the_next_goes_on(stage: Stage) -> None:
    """Fault 8."""
    await stage.apply()
    await stage.ready()
    while not await stage.bench.proxy.streams.inject("workspaces", BROKEN):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await asyncio.wait_for(stage.bench.dies(), 20)
    stage.bench.operator.start()
    await stage.change({"resource": {"count": 2}})
    await stage.ready(2)


async def test_lines_doubled_swapped_and_lost_change_nothing_in_the_end(stage: Stage) -> None:
    """Fault 9: of every five lines one is lost, one comes twice, and two change places."""
    stage.bench.run_by(FAST)
    seen = 0
    held: dict[str, bytes] = {}

    def spoil(asked: Asked, line: bytes) -> Iterable[bytes]:
        nonlocal seen
        seen += 1
        match seen % 5:
            case 0:
                return ()
            case 1:
                return (line, line)
            case 2:
                held[asked.plural] = line
                return ()
            case _:
                late = held.pop(asked.plural, None)
                return (line,) if late is None else (line, late)

    stage.bench.proxy.streams.edit = spoil
    await stage.apply()
    await stage.ready()
    await stage.change({"resource": {"count": 2}})
    await stage.ready(2)
    assert len(stage.bench.history.claim_names(stage.team)) == 2
    await stage.delete()
    await stage.gone()
    assert seen > 20


async def test_a_server_that_lives_in_the_past_is_not_believed(stage: Stage) -> None:
    """Fault 10: after a restart every list shows a cluster without the Workspace, then one with."""
    await stage.apply()
    await stage.ready()
    (claim,) = await stage.claims()
    past = {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}
    travel = Rule(
        action=Answer(200, json.dumps(past).encode(), {"Content-Type": "application/json"}),
        picks=lambda asked: asked.verb == "LIST" and asked.plural == "workspaces",
    )
    with stage.bench.proxy.obeying(travel):
        stage.bench.run_by(FAST)
        while travel.done < 3:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
        await stage.looked_at()
    (still,) = await stage.claims()
    assert still["metadata"]["uid"] == claim["metadata"]["uid"]
    assert not still["metadata"].get("deletionTimestamp")
    await stage.ready()
