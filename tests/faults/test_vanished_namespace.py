"""A namespace ends under an API server that does not name our definition: its Workspace is left."""

import asyncio
import contextlib

import aiohttp
import pytest

from tests.fault_table import Bench
from tests.fault_table.scenarios import NAME, Stage
from tests.world import workspaces
from tests.world.api import CLAIMS, ApiError

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(240),
]

SCALE = 60.0  # a minute of refusals in a second
METRIC = "atelier_workspaces_without_namespace"


async def end_namespace(stage: Stage) -> None:
    """
    End it as its controller does that is told of every kind but ours.

    What belongs to the Workspace goes, the controller's own finalizer goes, and the namespace with
    it; the second deletion is the controller's last.
    """
    api, where = stage.bench.world.api, f"/api/v1/namespaces/{stage.team}"
    finalize = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": stage.team}}
    await api.send("PUT", f"{where}/finalize", {**finalize, "spec": {"finalizers": []}})
    await api.delete(where)
    await api.delete(where)
    await workspaces.gone(api, where)
    paths = (workspaces.deployment_path, workspaces.service_path)
    for path in [each(stage.team, NAME) for each in paths]:
        await api.delete(path)
    for pod in await api.items(f"{where}/pods"):
        await api.delete(f"{where}/pods/{pod['metadata']['name']}")


async def wakes_until_no_claim(stage: Stage) -> None:
    """Touch the machines, since nothing else would wake the operator before a minute is over."""
    api = stage.bench.world.api
    async with asyncio.timeout(workspaces.PATIENCE_SECONDS):
        while claims := await stage.claims():
            for claim in claims:
                seen = {"example.org/seen": claim["metadata"]["resourceVersion"]}
                with contextlib.suppress(ApiError):  # it may just have gone
                    where = f"{CLAIMS}/{claim['metadata']['name']}"
                    await api.merge(where, {"metadata": {"annotations": seen}})
            await asyncio.sleep(0.2)


async def knows(stage: Stage, count: int) -> None:
    """Wait until the operator's metric counts so many Workspaces."""
    async with asyncio.timeout(workspaces.PATIENCE_SECONDS):
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):  # it may not listen yet
                if await stage.bench.operator.metric(METRIC) == count:
                    return
            await asyncio.sleep(0.1)


def live_again(bench: Bench) -> None:
    """Start the operator anew in the same time: by a new clock its past would lie in the future."""
    bench.operator.stop()
    bench.operator.start()


async def test_its_machines_are_given_back_and_it_goes_when_the_namespace_is_made_again(
    stage: Stage,
) -> None:
    bench, api = stage.bench, stage.bench.world.api
    bench.run_by(SCALE)
    await stage.apply()
    await stage.ready()
    await end_namespace(stage)
    await wakes_until_no_claim(stage)
    bought = bench.history.claim_names(stage.team)

    live_again(bench)  # the next life remembers nothing of that
    await knows(stage, 1)
    assert await stage.claims() == []
    left = await workspaces.present(api, workspaces.path(stage.team, NAME))
    assert left["metadata"]["finalizers"]

    await stage.delete()
    await api.create("/api/v1/namespaces", {"metadata": {"name": stage.team}})
    live_again(bench)  # it asks again within a minute; a new life at once
    await stage.gone()
    assert bench.history.claim_names(stage.team) == bought, "and none was bought meanwhile"
