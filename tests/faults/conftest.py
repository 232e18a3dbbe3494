"""One control plane of this tier's own: here operators die, and API servers too."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.cluster import ControlPlane, karpenter_crds
from tests.cluster import control_plane as run_control_plane
from tests.fault_table import Bench, open_bench
from tests.fault_table.bench import CONTROLLERS
from tests.fault_table.cases import take_away
from tests.fault_table.scenarios import Stage
from tests.world.fault_streams import unchanged
from tests.world.operator_process import install
from tests.world.oracles import dishonest_statuses, repeated_announcements, too_many_claims


@pytest.fixture(scope="session")
def stricken() -> Iterator[ControlPlane]:
    """Run a control plane with real controllers and the chart's definition and rights."""
    with run_control_plane(controllers=CONTROLLERS) as plane:
        for definition in karpenter_crds():
            plane.apply(definition)
        yield plane


@pytest.fixture(scope="session")
def chart_environment(stricken: ControlPlane) -> dict[str, str]:
    """Install the chart, and give what it sets for the operator."""
    return install(stricken)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bench(
    stricken: ControlPlane,
    chart_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Bench]:
    """Play the world for the whole tier."""
    directory = tmp_path_factory.mktemp("bench")
    async with open_bench(stricken, chart_environment, directory) as bench:
        yield bench


@pytest_asyncio.fixture(loop_scope="session")
async def stage(bench: Bench) -> AsyncIterator[Stage]:
    """
    Give a test a namespace, and an operator behind the proxy that has just started.

    Afterwards every rule is lifted, and the oracles that hold for any story are asked.
    """
    bench.proxy.rules.clear()
    bench.run_by(1.0)
    team = await bench.make_team()
    yield Stage(bench=bench, team=team)
    bench.proxy.rules.clear()
    bench.proxy.streams.flow()
    bench.proxy.streams.edit = unchanged
    await bench.history.caught_up()
    revisions = bench.history.of(team)
    await take_away(bench, team)
    assert too_many_claims(revisions) == []
    assert dishonest_statuses(revisions, lambda _: bench.world.kubelet.served(team) > 0) == []
    assert repeated_announcements(revisions) == []
