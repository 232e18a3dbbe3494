"""
Count and time tunings, all of them together, for Prometheus.

A tuning is seen through its status, which is at most some five seconds old, so durations are as
exact as that. What began before this process looked is not timed, and what ended before is not
counted: a restart of the operator counts nothing twice.

As in ``metrics``, no label carries the name of a Workspace. One training's own figures are in
`status.tuning` and on its pod's `/metrics` (`atelier_tuning_*`).
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from workspace_operator import conditions
from workspace_operator.api import TrainingStatus, WorkspaceStatus

TRAINING = "training"
RESULTS = {conditions.STATE_SUCCEEDED: "succeeded", conditions.STATE_FAILED: "failed"}
PHASE_BUCKETS = (1, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400)
RATIO_BUCKETS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """
    Hold what was seen of one tuning.

    Attributes:
        result: How it ended; empty while it has not.
        phase: What it was doing; empty before its first report.
        step: Steps done.
        most_steps: The same at its best: a pod that begins again starts behind it.
        began_at: When the phase began, by the clock; none where it was found in it.
        stepped_at: When the last step was seen, or the training to begin.
        pace: Tokens per second, while it trains.
    """

    result: str = ""
    phase: str = ""
    step: int = 0
    most_steps: int = 0
    began_at: float | None = None
    stepped_at: float = 0.0
    pace: float = 0.0


@dataclass(slots=True)
class TuningMetrics:
    """Hold the metrics of tunings, and what was seen last of each."""

    registry: CollectorRegistry
    clock: Callable[[], float] = time.monotonic
    ended: Counter = field(init=False)
    steps: Counter = field(init=False)
    tokens_per_second: Gauge = field(init=False)
    seconds_without_step: Gauge = field(init=False)
    phase_seconds: Histogram = field(init=False)
    loss_ratio: Histogram = field(init=False)
    _seen: dict[Hashable, _Seen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Register every metric once."""
        registry = self.registry
        self.ended = Counter(
            "atelier_tunings_ended",
            "Jobs of tunings that ended, by result: succeeded or failed.",
            ["result"],
            registry=registry,
        )
        for result in RESULTS.values():
            self.ended.labels(result=result)
        self.steps = Counter(
            "atelier_tunings_steps",
            "Optimizer steps of all tunings; those done again after a failure count once.",
            registry=registry,
        )
        self.tokens_per_second = Gauge(
            "atelier_tunings_tokens_per_second",
            "Tokens that all running tunings learn from in a second.",
            registry=registry,
        )
        self.tokens_per_second.set_function(lambda: sum(each.pace for each in self._training()))
        self.seconds_without_step = Gauge(
            "atelier_tunings_seconds_without_step",
            "Time since the last step of the training that has waited longest for its next one; "
            "0 where none trains.",
            registry=registry,
        )
        self.seconds_without_step.set_function(self._longest_wait)
        self.phase_seconds = Histogram(
            "atelier_tunings_phase_seconds",
            "Time that a tuning spent in each phase of its program: loading, preparing, training, "
            "saving, pushing.",
            ["phase"],
            buckets=PHASE_BUCKETS,
            registry=registry,
        )
        self.loss_ratio = Histogram(
            "atelier_tunings_loss_ratio",
            "Last training loss by the first one, of tunings that succeeded; 1 and more: nothing "
            "was learned.",
            buckets=RATIO_BUCKETS,
            registry=registry,
        )

    def show(self, key: Hashable, status: WorkspaceStatus) -> None:
        """Take in what a Workspace that tunes has come to."""
        before = self._seen.get(key)
        result = RESULTS.get(status.state or "", "")
        self._seen[key] = replace(self._moved(before, status.tuning), result=result)
        if before is None or not result or before.result == result:
            return
        self.ended.labels(result=result).inc()
        ratio = _ratio(status.tuning)
        if result == RESULTS[conditions.STATE_SUCCEEDED] and ratio is not None:
            self.loss_ratio.observe(ratio)

    def forget(self, key: Hashable) -> None:
        """Take out a Workspace that is gone."""
        self._seen.pop(key, None)

    def _moved(self, before: _Seen | None, report: TrainingStatus | None) -> _Seen:
        """Return what is seen now; count the steps and time the phase that lie between."""
        now = self.clock()
        if report is None:
            return _Seen()
        phase, step = report.phase or "", report.step or 0
        pace = report.tokens_per_second or 0.0
        if before is None:
            return _Seen(phase=phase, step=step, most_steps=step, stepped_at=now, pace=pace)
        self.steps.inc(max(0, step - before.most_steps))
        stepped_at = before.stepped_at
        if step != before.step or phase != before.phase:
            stepped_at = now
        began_at = before.began_at
        if phase != before.phase:
            if before.phase and began_at is not None:
                self.phase_seconds.labels(phase=before.phase).observe(now - began_at)
            began_at = now
        return _Seen(
            phase=phase,
            step=step,
            most_steps=max(step, before.most_steps),
            began_at=began_at,
            stepped_at=stepped_at,
            pace=pace,
        )

    def _training(self) -> list[_Seen]:
        return [
            each
            for each in tuple(self._seen.values())
            if each.phase == TRAINING and not each.result
        ]

    def _longest_wait(self) -> float:
        since = min((each.stepped_at for each in self._training()), default=None)
        return 0.0 if since is None else self.clock() - since


def _ratio(report: TrainingStatus | None) -> float | None:
    if report is None or report.loss is None or not report.first_loss:
        return None
    return report.loss / report.first_loss
