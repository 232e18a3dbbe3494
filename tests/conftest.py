"""The fixtures that several tiers share: a real API server, and a namespace of one's own in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import ControlPlane, binary, ensure, karpenter, karpenter_crds
from tests.cluster import control_plane as run_control_plane
from tests.cluster.binaries import CONTROL_PLANE

# Fixture -> the programs that it starts.
PROGRAMS = {
    "control_plane": CONTROL_PLANE,
    "cosign": ("cosign", "helm"),
    "helm": ("helm",),
    "karpenter_control_plane": (*CONTROL_PLANE, "karpenter-kwok"),
}


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the selected tests need before the first one's time limit starts to run."""
    if session.config.option.collectonly:
        return
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    ensure(program for fixture in PROGRAMS if fixture in wanted for program in PROGRAMS[fixture])
    if "karpenter_control_plane" in wanted:
        karpenter_crds()


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """Run one control plane for the whole test run; tests keep apart by namespaces."""
    with run_control_plane() as plane:
        yield plane


@pytest.fixture(scope="session")
def karpenter_control_plane() -> Iterator[ControlPlane]:
    """
    Run another control plane, with the real Karpenter on it, for the whole test run.

    It is not the one of `control_plane`, where tests play Karpenter's part themselves.
    """
    with run_control_plane() as plane, karpenter(plane):
        yield plane


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """Make a namespace for one test; its deletion is asked for and not waited for."""
    name = control_plane.create_namespace()
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def cosign() -> Path:
    """Have cosign ready, and give its path."""
    return binary("cosign")


@pytest.fixture(scope="session")
def helm() -> Path:
    """Have Helm ready, and give its path."""
    return binary("helm")
