"""Frozen, killed or replaced: whoever writes next finds one truth and makes no second claim."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cluster import ControlPlane
from tests.world import World, workspaces
from tests.world.fault_proxy import FaultProxy, Moment, fault_proxy
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


@pytest_asyncio.fixture(loop_scope="session")
async def victim(
    silence: None,
    proxy: FaultProxy,
    populated: ControlPlane,
    chart_environment: dict[str, str],
    tmp_path: Path,
) -> AsyncIterator[Operator]:
    """An operator behind the proxy, without a Lease: its next life need not wait for one."""
    _ = silence
    direct = populated.kubeconfig_for(NAMESPACE, RELEASE)
    victim = Operator(
        kubeconfig=proxy.kubeconfig(direct, tmp_path / "kubeconfig"),
        environment={**chart_environment, "ATELIER_LEADER_ELECTION": "false"},
        log=tmp_path / "log",
        name="victim",
    )
    victim.start()
    proxy.kill = lambda: victim.send(signal.SIGKILL)
    yield victim
    victim.stop()


async def dies(victim: Operator) -> None:
    while victim.runs:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.05)


# Finalizer and NodeClaim come first, then the other objects, each status and its event in between;
# how many of the latter depends on how long each step takes.
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
async def test_killed_at_a_write_on_the_way_up(
    victim: Operator, proxy: FaultProxy, world: World, team: str, at: int, when: Moment
) -> None:
    proxy.at, proxy.when = at, when
    before = len(world.cloud.created)
    await world.api.create(workspaces.path(team), workspaces.workspace(team))
    await dies(victim)
    victim.start()
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    assert len(world.cloud.created) - before == 1, "one machine was ever asked for"
    assert len(await workspaces.claims(world.api, team, "mistral")) == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
async def test_killed_at_a_write_on_the_way_out(
    victim: Operator, proxy: FaultProxy, world: World, team: str, at: int, when: Moment
) -> None:
    await world.api.create(workspaces.path(team), workspaces.workspace(team))
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    made = len(world.cloud.created)
    await settled(proxy)
    proxy.at, proxy.when = len(proxy.writes) + at, when
    await world.api.delete(workspaces.path(team, "mistral"))
    await dies(victim)
    victim.start()
    await workspaces.gone(world.api, workspaces.path(team, "mistral"))
    assert await workspaces.claims(world.api, team, "mistral") == []
    await workspaces.gone(world.api, workspaces.deployment_path(team, "mistral"))
    await workspaces.gone(world.api, workspaces.service_path(team, "mistral"))
    assert len(world.cloud.created) == made, "nothing was made on the way out"


async def settled(proxy: FaultProxy) -> None:
    """Wait until a second has passed without a write."""
    known = -1
    while known != len(proxy.writes):
        known = len(proxy.writes)
        await asyncio.sleep(1)


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
        proxy.writes.clear()
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
