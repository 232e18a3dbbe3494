"""API server and etcd fail under the operator; it waits, and goes on where it was."""

import asyncio
import signal
from collections import Counter

import pytest
import pytest_asyncio

from tests.cluster import ControlPlane
from tests.fault_table.scenarios import NAME, Stage
from tests.world import workspaces
from tests.world.operator_process import install

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(240),
]


FAST = 20.0  # a sweep every three seconds
VAIN_REQUESTS = 5


def without_answer(stage: Stage, since: int) -> Counter[str]:
    """Count by their verb the requests without an answer, since the log had so many entries."""
    late = stage.bench.proxy.log[since:]
    return Counter(each.asked.verb for each in late if each.status == 0)


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def nothing_is_going(stage: Stage) -> None:
    """
    Wait until the namespaces of earlier tests are gone.

    An API server that has just started does not name our definition yet; a namespace whose end is
    judged in that moment goes without its Workspaces, and they can never be deleted then.
    """
    api = stage.bench.world.api
    async with asyncio.timeout(120):
        while any(  # noqa: ASYNC110 - namespaces are few, and gone in seconds
            each["metadata"].get("deletionTimestamp")
            for each in await api.items("/api/v1/namespaces")
        ):
            await asyncio.sleep(0.2)


async def test_the_api_server_is_killed_and_comes_back(
    stage: Stage, stricken: ControlPlane
) -> None:
    """Fault 4: in the midst of a Workspace's start, by an operator that has come up."""
    await stage.apply()
    await workspaces.eventually(
        stage.bench.world.api,
        workspaces.path(stage.team, NAME),
        lambda found: bool(found and found["metadata"].get("finalizers")),
    )
    known = len(stage.bench.proxy.log)
    await asyncio.to_thread(stricken.api_server.kill)
    while without_answer(stage, known).total() < VAIN_REQUESTS:  # noqa: ASYNC110 - a process
        await asyncio.sleep(0.05)
    assert stage.bench.operator.runs
    await asyncio.to_thread(stricken.restart_api_server)
    await stage.ready()
    assert stage.bench.operator.runs
    assert len(stage.bench.history.claim_names(stage.team)) == 1


async def test_etcd_stands_still_and_no_status_flaps(stage: Stage, stricken: ControlPlane) -> None:
    """Fault 5: until both a pass and a sweep wait for what does not come."""
    stage.bench.run_by(FAST)
    await stage.apply()
    await stage.ready()
    await stage.bench.history.caught_up()
    known = len(stage.bench.history.of(stage.team, "Workspace"))
    stricken.etcd.signal(signal.SIGSTOP)
    asked = len(stage.bench.proxy.log)
    try:
        while not {"GET", "LIST"} <= without_answer(stage, asked).keys():  # noqa: ASYNC110 - a process
            await asyncio.sleep(0.05)
        assert stage.bench.operator.runs
    finally:
        stricken.etcd.signal(signal.SIGCONT)
    await stage.change({"resource": {"count": 2}})
    await stage.ready(2)
    phases = [
        each.body["status"]["phase"]
        for each in stage.bench.history.of(stage.team, "Workspace")[known:]
    ]
    assert not {"Failed", "Invalid", "Blocked"} & set(phases)
    assert stage.bench.operator.runs


async def test_the_definition_goes_and_comes_back(stage: Stage, stricken: ControlPlane) -> None:
    """Fault 30: with every Workspace in it; the process may end, the next one works."""
    await stage.apply()
    await stage.ready()
    delete = ("delete", "crd", "workspaces.kaito.sh", "--timeout=40s")
    await asyncio.to_thread(stricken.kubectl, *delete)
    assert await stage.claims() == [], "nothing that costs money is left"
    await asyncio.to_thread(install, stricken)
    async with stage.bench.kept_alive():  # it may need a moment to notice that its watch is gone
        await stage.apply()
        await stage.ready()
