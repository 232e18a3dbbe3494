"""Frozen and replaced: a holder of the Lease that thaws finds that it may not write any more."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cluster import ControlPlane
from tests.world import World, workspaces
from tests.world.fault_proxy import FaultProxy, fault_proxy
from tests.world.operator_process import NAMESPACE, RELEASE, Operator

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),  # the first test of a run starts everything
]


@pytest_asyncio.fixture(loop_scope="session")
async def silence(operator: Operator) -> AsyncIterator[None]:
    """Stop the operator that the tests share, for one that stands alone."""
    assert operator.stop() == 0
    yield
    operator.start()
    await operator.leads()


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(populated: ControlPlane) -> AsyncIterator[FaultProxy]:
    async with fault_proxy(populated) as proxy:
        yield proxy


async def dies(victim: Operator) -> None:
    while victim.runs:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.05)


@pytest_asyncio.fixture(loop_scope="session")
async def two(
    silence: None,
    proxy: FaultProxy,
    populated: ControlPlane,
    chart_environment: dict[str, str],
    tmp_path: Path,
) -> tuple[Operator, Operator]:
    """Two operators for one Lease, not started yet; the first is behind the proxy."""
    _ = silence
    direct = populated.kubeconfig_for(NAMESPACE, RELEASE)
    proxied = proxy.kubeconfig(direct, tmp_path / "kubeconfig")
    first, second = (
        Operator(
            kubeconfig=kubeconfig, environment=chart_environment, log=tmp_path / name, name=name
        )
        for name, kubeconfig in (("frozen", proxied), ("heir", direct))
    )
    return first, second


async def test_a_frozen_holder_is_followed_and_writes_nothing_when_it_thaws(
    two: tuple[Operator, Operator], proxy: FaultProxy, world: World, team: str
) -> None:
    frozen, heir = two
    try:
        frozen.start()
        await frozen.leads()
        heir.start()
        frozen.send(signal.SIGSTOP)
        await world.api.create(workspaces.path(team), workspaces.workspace(team))
        await workspaces.in_phase(world.api, team, "mistral", "Ready")
        proxy.log.clear()
        frozen.send(signal.SIGCONT)
        await dies(frozen)
        assert frozen.process.returncode == 1
        assert proxy.writes == []
        assert any(each["event"] == "lease lost" for each in frozen.events()) or (
            "is not ours" in frozen.log.read_text()
        )
        assert heir.stop() == 0
    finally:
        for operator in (frozen, heir):
            operator.stop()
