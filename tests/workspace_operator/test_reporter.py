"""A status is told once, in its last form; until then the next pass takes it for told."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

import pytest
from workspace_operator.api import Condition, WorkspaceStatus
from workspace_operator.cluster import Cluster, Conflict, Gone, Unreachable
from workspace_operator.metrics import Metrics
from workspace_operator.reporter import Reporter
from workspace_operator.wake import Key

KEY = Key("team", "mistral")
NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


@dataclass
class Recorder:
    """The writing half of a cluster, as far as a reporter uses it."""

    statuses: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    refusal: Exception | None = None

    async def apply_status(self, manifest: dict[str, Any]) -> dict[str, Any]:
        if self.refusal is not None:
            raise self.refusal
        self.statuses.append(manifest)
        return manifest

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self.events.append(manifest)
        return manifest


@pytest.fixture
def cluster() -> Recorder:
    return Recorder()


@pytest.fixture
def reporter(cluster: Recorder) -> Reporter:
    return Reporter(
        cluster=cast("Cluster", cluster), metrics=Metrics(), instance="a", clock=lambda: NOW
    )


def body(status: dict[str, Any] | None = None, uid: str = "u1") -> dict[str, Any]:
    return {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": "mistral", "namespace": "team", "uid": uid, "resourceVersion": "7"},
        **({"status": status} if status else {}),
    }


def tell(reporter: Reporter) -> None:
    asyncio.run(reporter.tell(KEY))


def test_two_reports_are_one_write_and_one_event(reporter: Reporter, cluster: Recorder) -> None:
    reporter.note(KEY, body(), WorkspaceStatus(phase="LaunchingNode"))
    reporter.note(KEY, body(), WorkspaceStatus(phase="PullingImage"))
    assert reporter.has_news(KEY)
    tell(reporter)
    assert not reporter.has_news(KEY)
    assert [each["status"]["phase"] for each in cluster.statuses] == ["PullingImage"]
    assert cluster.statuses[0]["metadata"] == {"name": "mistral", "namespace": "team", "uid": "u1"}
    assert [each["reason"] for each in cluster.events] == ["PullingImage"]


def test_a_status_that_is_stored_already_is_no_news(reporter: Reporter, cluster: Recorder) -> None:
    reporter.note(KEY, body(), WorkspaceStatus(phase="LaunchingNode"))
    reporter.note(KEY, body({"phase": "Ready"}), WorkspaceStatus(phase="Ready"))
    assert not reporter.has_news(KEY)
    tell(reporter)
    assert cluster.statuses == cluster.events == []


def condition(status: Literal["True", "False"], minute: int) -> Condition:
    return Condition(
        type="Ready",
        status=status,
        reason="Told",
        message="as it is",
        last_transition_time=NOW.replace(minute=minute),
    )


def test_what_changed_and_changed_back_untold_has_not_changed(
    reporter: Reporter, cluster: Recorder
) -> None:
    stored = WorkspaceStatus(conditions=(condition("True", 1),))
    reporter.note(
        KEY, body(stored.to_manifest()), WorkspaceStatus(conditions=(condition("False", 2),))
    )
    back = WorkspaceStatus(conditions=(condition("True", 3),))
    reporter.note(KEY, body(stored.to_manifest()), back)
    assert not reporter.has_news(KEY)
    tell(reporter)
    assert cluster.statuses == []


def test_the_next_pass_sees_what_is_untold(reporter: Reporter) -> None:
    assert reporter.with_untold(KEY, body()) == body()
    reporter.note(KEY, body(), WorkspaceStatus(phase="LaunchingNode"))
    assert reporter.with_untold(KEY, body())["status"] == {
        **WorkspaceStatus(phase="LaunchingNode").to_manifest()
    }
    assert reporter.with_untold(KEY, body(uid="another life")) == body(uid="another life")


def test_a_progress_without_a_new_phase_is_no_event(reporter: Reporter, cluster: Recorder) -> None:
    before = {"phase": "LoadingWeights", "progress": "1 %"}
    reporter.note(KEY, body(before), WorkspaceStatus(phase="LoadingWeights", progress="2 %"))
    tell(reporter)
    assert len(cluster.statuses) == 1
    assert cluster.events == []


def test_a_refused_status_is_kept(reporter: Reporter, cluster: Recorder) -> None:
    cluster.refusal = Unreachable("PATCH", "no route")
    reporter.note(KEY, body(), WorkspaceStatus(phase="LaunchingNode"))
    with pytest.raises(Unreachable):
        tell(reporter)
    assert reporter.has_news(KEY), "or the machines that were asked for would be forgotten"
    assert cluster.events == []


@pytest.mark.parametrize("refusal", [Gone("PATCH", "gone"), Conflict("PATCH", "another uid")])
def test_nothing_is_told_about_a_life_that_is_over(
    reporter: Reporter, cluster: Recorder, refusal: Exception
) -> None:
    cluster.refusal = refusal
    reporter.note(KEY, body(), WorkspaceStatus(phase="LaunchingNode"))
    tell(reporter)
    assert not reporter.has_news(KEY)


def test_everything_is_told_at_the_end_as_far_as_it_can_be(
    reporter: Reporter, cluster: Recorder
) -> None:
    for number in range(20):
        reporter.note(Key("team", f"n{number}"), body(), WorkspaceStatus(phase="Ready"))
    asyncio.run(reporter.tell_all(1))
    assert len(cluster.statuses) == 20
    cluster.refusal = Unreachable("PATCH", "no route")
    reporter.note(KEY, body(), WorkspaceStatus(phase="Ready"))
    asyncio.run(reporter.tell_all(1))
    assert reporter.has_news(KEY)


def test_a_workspace_that_is_gone_is_forgotten(reporter: Reporter) -> None:
    reporter.note(KEY, body(), WorkspaceStatus(phase="LaunchingNode"))
    reporter.forget(KEY)
    assert not reporter.has_news(KEY)
