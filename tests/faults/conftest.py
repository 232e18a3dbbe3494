"""One control plane of this tier's own: here operators die, and API servers too."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.cluster import ControlPlane, karpenter_crds
from tests.cluster import control_plane as run_control_plane
from tests.fault_table import Bench, open_bench
from tests.fault_table.bench import CONTROLLERS
from tests.world.operator_process import install


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
