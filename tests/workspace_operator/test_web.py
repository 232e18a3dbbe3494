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
        url = f"http://127.0.0.1:{health_port}/healthz"
        async with session.get(url) as answer:
            assert answer.status == 200, "a process that has just started is given time"
        clock.now += 181
        async with session.get(url) as answer:
            assert answer.status == 503
            assert await answer.text() == "api server answered 181 s ago\n"
        health.beat()
        async with session.get(url) as answer:
            assert answer.status == 200


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
