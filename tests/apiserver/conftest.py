"""One control plane with real controllers, one played world, one operator as its chart runs it."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from workspace_operator.cluster import ApiServer, Connection

from tests.cluster import ControlPlane, karpenter_crds
from tests.cluster import control_plane as run_control_plane
from tests.world import World, play
from tests.world.operator_process import NAMESPACE, RELEASE, Operator, cold_start, install
from tests.world.read_only import can_be_read_only, read_only_start

CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "job-controller",
    "garbage-collector-controller",
    "namespace-controller",
)


@pytest.fixture
async def cluster(control_plane: ControlPlane) -> AsyncIterator[ApiServer]:
    """Reach the API server as the administrator, who may always write."""
    connection = Connection(str(control_plane.kubeconfig), on_answer=lambda: None)
    await connection.open()
    yield ApiServer(connection, guard=lambda: None, count_write=lambda _verb, _kind: None)
    await connection.close()


@pytest.fixture(scope="session")
def populated() -> Iterator[ControlPlane]:
    """Run a control plane whose Deployments make pods and whose orphans are collected."""
    with run_control_plane(controllers=CONTROLLERS) as plane:
        for definition in karpenter_crds():
            plane.apply(definition)
        yield plane


@pytest.fixture(scope="session")
def chart_environment(populated: ControlPlane) -> dict[str, str]:
    """Install the chart, and give what it sets for the operator."""
    return install(populated)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(populated: ControlPlane) -> AsyncIterator[World]:
    """Play cloud, nodes, kubelet and models for the whole run."""
    async with play(populated) as world:
        yield world


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def operator(
    populated: ControlPlane,
    chart_environment: dict[str, str],
    world: World,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Operator]:
    """Run one operator, confined as in its pod, for all tests that do not need one of their own."""
    _ = world
    operator = Operator(
        kubeconfig=populated.kubeconfig_for(NAMESPACE, RELEASE),
        environment=chart_environment,
        log=tmp_path_factory.mktemp("operator") / "log",
        launch=read_only_start if can_be_read_only() else cold_start,
    )
    operator.start()
    await operator.leads()
    yield operator
    assert operator.stop() == 0
    assert [each for each in operator.events() if "traceback" in each] == []


@pytest.fixture
def team(populated: ControlPlane) -> Iterator[str]:
    """Make a namespace for one test, and ask for its deletion afterwards."""
    name = populated.create_namespace()
    yield name
    populated.kubectl("delete", "namespace", name, "--wait=false")
