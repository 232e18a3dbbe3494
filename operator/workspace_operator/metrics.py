"""
Count and time what the operator does, for Prometheus.

Every name, unit and label stands here. No label carries the name of a Workspace, a user's text or a
message, so the number of series does not grow with the cluster.
"""

from collections import Counter as Tally
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import (
    PLATFORM_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from workspace_operator.tuning_metrics import TuningMetrics

PASS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
PHASE_BUCKETS = (1, 5, 10, 30, 60, 120, 180, 300, 600, 900, 1800, 3600)


@dataclass(slots=True)
class Metrics:
    """Hold one operator's metrics; a second operator in one process has its own."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    passes: Counter = field(init=False)
    pass_seconds: Histogram = field(init=False)
    writes: Counter = field(init=False)
    queue_depth: Gauge = field(init=False)
    open_breakers: Gauge = field(init=False)
    lease_held: Gauge = field(init=False)
    workspaces: Gauge = field(init=False)
    node_claims: Gauge = field(init=False)
    orphans: Gauge = field(init=False)
    without_namespace: Gauge = field(init=False)
    rivals: Gauge = field(init=False)
    list_age_seconds: Gauge = field(init=False)
    phase_seconds: Histogram = field(init=False)
    tunings: TuningMetrics = field(init=False)
    _phases: dict[Hashable, str] = field(default_factory=dict)
    _tally: Tally[str] = field(default_factory=Tally)
    _startups: dict[Hashable, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Register every metric once."""
        registry = self.registry
        ProcessCollector(registry=registry)
        registry.register(PLATFORM_COLLECTOR)
        self.passes = Counter(
            "atelier_passes",
            "Passes over a Workspace, by outcome: done, or the type of the error.",
            ["outcome"],
            registry=registry,
        )
        self.pass_seconds = Histogram(
            "atelier_pass_seconds",
            "Time of one pass over a Workspace.",
            buckets=PASS_BUCKETS,
            registry=registry,
        )
        self.writes = Counter(
            "atelier_writes", "Writes to the API server.", ["verb", "kind"], registry=registry
        )
        self.queue_depth = Gauge(
            "atelier_queue_depth", "Workspaces that wait for a pass.", registry=registry
        )
        self.open_breakers = Gauge(
            "atelier_open_breakers",
            "Workspaces whose passes keep failing and are slowed down.",
            registry=registry,
        )
        self.lease_held = Gauge(
            "atelier_lease_held", "1 while this process may write.", registry=registry
        )
        self.workspaces = Gauge(
            "atelier_workspaces", "Workspaces by phase.", ["phase"], registry=registry
        )
        self.node_claims = Gauge(
            "atelier_node_claims",
            "NodeClaims of Workspaces at the last sweep, by the last step that Karpenter reported.",
            ["step"],
            registry=registry,
        )
        self.orphans = Gauge(
            "atelier_orphan_node_claims",
            "NodeClaims at the last sweep whose Workspace is gone: machines that nobody uses.",
            registry=registry,
        )
        self.without_namespace = Gauge(
            "atelier_workspaces_without_namespace",
            "Workspaces whose namespace does not exist, so that nothing can be written to them.",
            registry=registry,
        )
        self.rivals = Gauge(
            "atelier_kaito_controllers",
            "Controllers of KAITO's that the last sweep saw running; they delete our Deployments.",
            registry=registry,
        )
        self.list_age_seconds = Gauge(
            "atelier_list_age_seconds",
            "Time since the API server answered a sweep; 0 where this process does not sweep.",
            registry=registry,
        )
        self.phase_seconds = Histogram(
            "atelier_startup_phase_seconds",
            "Time that a Workspace spent in each phase of its start.",
            ["phase"],
            buckets=PHASE_BUCKETS,
            registry=registry,
        )
        self.tunings = TuningMetrics(registry)

    def count_write(self, verb: str, kind: str) -> None:
        """Count one write."""
        self.writes.labels(verb=verb, kind=kind).inc()

    def show_phase(self, key: Hashable, phase: str | None) -> None:
        """Move a Workspace to the phase that it is in; None forgets it."""
        before = self._phases.pop(key, None)
        if phase is None:
            self._startups.pop(key, None)
            self.tunings.forget(key)
        else:
            self._phases[key] = phase
        if before == phase:
            return
        if phase is not None:
            self._tally[phase] += 1
            self.workspaces.labels(phase=phase).set(self._tally[phase])
        if before is not None:
            self._tally[before] -= 1
            self.workspaces.labels(phase=before).set(self._tally[before])
            if not self._tally[before]:
                self.workspaces.remove(before)

    def show_claims(self, steps: Iterable[str], orphans: int) -> None:
        """Show what the last sweep found: the step of each claim, and how many have no owner."""
        self.node_claims.clear()
        for step, number in Tally(steps).items():
            self.node_claims.labels(step=step).set(number)
        self.orphans.set(orphans)

    def show_startup(self, key: Hashable, seconds: Mapping[str, float]) -> None:
        """Record each ended phase of a start once in the life of this process."""
        known = self._startups.get(key)
        if known is not None:
            for phase in seconds.keys() - known:
                self.phase_seconds.labels(phase=phase).observe(seconds[phase])
        self._startups[key] = frozenset(seconds)

    def page(self) -> bytes:
        """Return everything in the text format of Prometheus."""
        return generate_latest(self.registry)
