"""Tunings are counted and timed once, whatever a restart of the operator or of a pod does."""

import pytest
from prometheus_client import CollectorRegistry
from workspace_operator.api import TrainingStatus, WorkspaceStatus
from workspace_operator.metrics import Metrics
from workspace_operator.tuning_metrics import TuningMetrics


class Clock:
    """Stand still until told otherwise."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Seen:
    """Show one tuning after the other, and read the figures."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.registry = CollectorRegistry()
        self.metrics = TuningMetrics(self.registry, self.clock)

    def show(
        self, seconds: float, phase: str, step: int = 0, *, state: str = "Running", key: str = "a"
    ) -> None:
        """Let some seconds pass, then show a report."""
        self.clock.now += seconds
        report = TrainingStatus(
            phase=phase, step=step, steps=40, loss=0.5, first_loss=2.0, tokens_per_second=30.0
        )
        self.metrics.show(key, WorkspaceStatus(state=state, tuning=report))

    def figure(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"atelier_tunings_{name}", labels)


@pytest.fixture
def seen() -> Seen:
    return Seen()


def test_a_whole_tuning_leaves_its_phases_steps_and_result(seen: Seen) -> None:
    seen.metrics.show("a", WorkspaceStatus(state="Pending"))
    seen.show(60, "loading")
    seen.show(20, "preparing")
    seen.show(5, "training")
    seen.show(50, "training", 10)
    assert seen.figure("tokens_per_second") == 30
    seen.show(150, "training", 40)
    seen.show(5, "saving", 40)
    assert seen.figure("tokens_per_second") == 0
    seen.show(5, "succeeded", 40, state="Succeeded")

    times = {
        phase: seen.figure("phase_seconds_sum", phase=phase)
        for phase in ("loading", "preparing", "training", "saving")
    }
    assert times == {"loading": 20, "preparing": 5, "training": 205, "saving": 5}
    assert seen.figure("steps_total") == 40
    assert seen.figure("ended_total", result="succeeded") == 1
    assert seen.figure("ended_total", result="failed") == 0
    assert (seen.figure("loss_ratio_sum"), seen.figure("loss_ratio_count")) == (0.25, 1)


def test_what_was_there_before_this_process_is_not_counted(seen: Seen) -> None:
    seen.show(0, "training", 30)
    seen.show(0, "succeeded", 40, state="Succeeded", key="ended")
    seen.show(0, "succeeded", 40, state="Succeeded", key="ended")
    assert seen.figure("steps_total") == 0
    assert seen.figure("ended_total", result="succeeded") == 0
    seen.show(9, "saving", 40)
    assert seen.figure("steps_total") == 10
    assert seen.figure("phase_seconds_count", phase="training") is None  # nobody saw it begin


def test_the_training_that_waits_longest_for_a_step_is_the_one_that_is_told(seen: Seen) -> None:
    assert seen.figure("seconds_without_step") == 0
    seen.show(0, "training", 5)
    seen.show(0, "training", 5, key="b")
    seen.show(600, "training", 6, key="b")
    seen.show(30, "training", 5)
    assert seen.figure("seconds_without_step") == 630
    seen.show(0, "training", 6)
    assert seen.figure("seconds_without_step") == 30
    seen.metrics.forget("b")
    assert seen.figure("seconds_without_step") == 0


def test_a_pod_that_begins_again_adds_no_step_that_was_counted(seen: Seen) -> None:
    """It goes on from a checkpoint before the last step that was told."""
    seen.metrics.show("a", WorkspaceStatus(state="Pending"))
    seen.show(0, "training", 9)
    seen.show(0, "loading", 0)
    seen.show(0, "training", 8)
    assert seen.figure("steps_total") == 9
    seen.show(0, "training", 12)
    assert seen.figure("steps_total") == 12


def test_a_failure_without_a_report_and_another_try_are_two_results(seen: Seen) -> None:
    for state in ("Pending", "Failed", "Failed", "Pending", "Running", "Failed"):
        seen.metrics.show("a", WorkspaceStatus(state=state))
    assert seen.figure("ended_total", result="failed") == 2
    assert seen.figure("loss_ratio_count") == 0


def test_a_workspace_that_is_gone_is_forgotten() -> None:
    metrics = Metrics()
    metrics.tunings.clock = Clock()
    report = TrainingStatus(phase="training", tokens_per_second=30.0)
    metrics.show_phase("a", "Training")
    metrics.tunings.show("a", WorkspaceStatus(state="Running", tuning=report))
    assert b"atelier_tunings_tokens_per_second 30.0" in metrics.page()
    metrics.show_phase("a", None)
    assert b"atelier_tunings_tokens_per_second 0.0" in metrics.page()
