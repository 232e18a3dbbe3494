"""The kubelet is told the truth, and Prometheus gets its page."""

import aiohttp
import pytest
from workspace_operator.metrics import Metrics
from workspace_operator.web import Health, serve

from tests.cluster.ports import free_ports


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_health_follows_the_last_answer_of_the_api_server() -> None:
    clock = Clock()
    health = Health(monotonic=clock)
    health_port, metrics_port = free_ports(2)
    async with (
        serve(
            health=health,
            health_port=health_port,
            metrics=lambda: b"",
            metrics_port=metrics_port,
        ),
        aiohttp.ClientSession() as session,
    ):

        async def ask(path: str) -> tuple[int, str]:
            async with session.get(f"http://127.0.0.1:{health_port}{path}") as answer:
                return answer.status, await answer.text()

        first = "api server answered 0 s ago\n"
        assert await ask("/healthz") == (200, first), "a process that has just started gets time"
        assert (await ask("/readyz"))[0] == 503, "and is not ready before it knows anything"
        health.beat()
        assert await ask("/readyz") == (200, first)
        clock.now += 31
        assert (await ask("/readyz"))[0] == 503
        assert (await ask("/healthz"))[0] == 200
        clock.now += 150
        assert await ask("/healthz") == (503, "api server answered 181 s ago\n")
        health.beat()
        assert (await ask("/healthz"))[0] == 200


def test_one_that_works_is_judged_by_its_sweep_too() -> None:
    clock = Clock()
    health = Health(monotonic=clock)
    health.beat()
    seen = [(health.is_good, health.is_ready)]
    health.beat_list()
    clock.now += 181
    health.beat()  # its Lease is renewed all the while
    seen.append((health.is_good, health.is_ready))
    assert str(health) == "api server answered 0 s ago, sweep 181 s ago"
    health.beat_list()
    seen.append((health.is_good, health.is_ready))
    assert seen == [(True, True), (False, False), (True, True)], "one that stands by has no sweep"


async def test_metrics_are_served_in_the_text_format() -> None:
    metrics = Metrics()
    metrics.count_write("patch", "Service")
    health_port, metrics_port = free_ports(2)
    async with (
        serve(
            health=Health(),
            health_port=health_port,
            metrics=metrics.page,
            metrics_port=metrics_port,
        ),
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{metrics_port}/metrics") as answer,
    ):
        page = await answer.text()
    assert 'atelier_writes_total{kind="Service",verb="patch"} 1.0' in page
    assert "process_resident_memory_bytes" in page


async def test_a_taken_port_is_an_error_and_leaves_nothing_open() -> None:
    health_port, metrics_port = free_ports(2)
    ports = {"health_port": health_port, "metrics_port": metrics_port}
    async with serve(health=Health(), metrics=lambda: b"", **ports):
        with pytest.raises(OSError, match="address already in use"):
            async with serve(health=Health(), metrics=lambda: b"", **ports):
                pass


def test_a_workspace_is_counted_in_one_phase_only() -> None:
    metrics = Metrics()
    metrics.show_phase("team/a", "LaunchingNode")
    metrics.show_phase("team/b", "Ready")
    metrics.show_phase("team/a", "Ready")
    page = metrics.page().decode()
    assert 'atelier_workspaces{phase="Ready"} 2.0' in page
    assert "LaunchingNode" not in page
    metrics.show_phase("team/a", None)
    metrics.show_phase("team/b", None)
    assert "atelier_workspaces{" not in metrics.page().decode()


def test_a_phase_of_the_start_is_timed_once_and_not_again_after_a_restart() -> None:
    metrics = Metrics()
    metrics.show_startup("team/old", {"node_launched": 40.0})
    assert 'phase="node_launched"' not in metrics.page().decode(), "it ended before our time"
    metrics.show_startup("team/new", {})
    metrics.show_startup("team/new", {"node_launched": 40.0})
    metrics.show_startup("team/new", {"node_launched": 40.0})
    line = 'atelier_startup_phase_seconds_count{phase="node_launched"} 1.0'
    assert line in metrics.page().decode()


def test_claims_are_counted_by_their_last_step_and_old_steps_forgotten() -> None:
    metrics = Metrics()
    metrics.show_claims(["Requested", "Launched", "Launched"], orphans=1)
    page = metrics.page().decode()
    assert 'atelier_node_claims{step="Launched"} 2.0' in page
    assert "atelier_orphan_node_claims 1.0" in page
    metrics.show_claims(["Initialized"], orphans=0)
    page = metrics.page().decode()
    assert "Launched" not in page
    assert "atelier_orphan_node_claims 0.0" in page
