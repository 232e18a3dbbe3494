"""The fixtures that several tiers share: a real API server, and a namespace of one's own in it."""

from collections.abc import Iterator

import pytest

from tests.cluster import ControlPlane, ensure
from tests.cluster import control_plane as run_control_plane
from tests.cluster.binaries import CONTROL_PLANE


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the selected tests need before the first one's time limit starts to run."""
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if "control_plane" in wanted and not session.config.option.collectonly:
        ensure(CONTROL_PLANE)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """Run one control plane for the whole test run; tests keep apart by namespaces."""
    with run_control_plane() as plane:
        yield plane


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """Make a namespace for one test; its deletion is asked for and not waited for."""
    name = control_plane.create_namespace()
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")
