"""
One Workspace in a cluster in memory: the real passes, a cloud and a kubelet that answer at once.

Only what the passes read is played: a NodeClaim gets its node, a Deployment its pods, and what has
lost its owner goes. Of the watches only this: every claim is shown before each pass.
"""

from dataclasses import dataclass, field
from datetime import datetime

from model_presets.catalog import Catalog
from prometheus_client import CollectorRegistry
from workspace_operator.claim_names import ClaimNames
from workspace_operator.claim_search import ClaimSearch
from workspace_operator.cluster import Manifest
from workspace_operator.last_words import LastWords
from workspace_operator.late_writes import LateWrites
from workspace_operator.metrics import Metrics
from workspace_operator.model_probe import ModelProbe
from workspace_operator.observe import Observer
from workspace_operator.pod_warnings import PodWarnings
from workspace_operator.reconcile import Reconciler
from workspace_operator.reporter import Reporter
from workspace_operator.settings import Probe, Settings
from workspace_operator.template_trial import TemplateTrial
from workspace_operator.vanished_namespace import VanishedNamespaces
from workspace_operator.wake import Key, owner_of
from workspace_operator.writer import Writer

from tests.builders import CATALOG, at, condition
from tests.builders.memory_cluster import MemoryCluster

SETTINGS = Settings(version="1.2.3", probe=Probe.READINESS)
KEY = Key(namespace="team", name="mistral")
PASS_SECONDS = 7.0
PASSES = 25


@dataclass(slots=True)
class MemoryWorld:
    """Hold the cluster, and the operator that works on it."""

    cluster: MemoryCluster = field(default_factory=MemoryCluster)
    names: ClaimNames = field(default_factory=ClaimNames)
    seconds: float = 0.0
    catalog: Catalog = field(default_factory=lambda: CATALOG)

    def now(self) -> datetime:
        return at(self.seconds)

    def operator(self) -> Reconciler:
        """Start an operator that remembers nothing."""
        metrics = Metrics(CollectorRegistry())
        self.names = ClaimNames()
        self.show_claims()
        return Reconciler(
            cluster=self.cluster,
            catalog=self.catalog,
            settings=SETTINGS,
            observer=Observer(
                cluster=self.cluster,
                settings=SETTINGS,
                claims=ClaimSearch(cluster=self.cluster, names=self.names),
                probe=ModelProbe(interval_seconds=30),
                last_words=LastWords(),
                warnings=PodWarnings(cluster=self.cluster),
                clock=self.now,
            ),
            writer=Writer(cluster=self.cluster, instance="test", clock=self.now),
            trial=TemplateTrial(cluster=self.cluster, settings=SETTINGS),
            reporter=Reporter(
                cluster=self.cluster, metrics=metrics, instance="test", clock=self.now
            ),
            late=LateWrites(cluster=self.cluster),
            metrics=metrics,
            vanished=VanishedNamespaces(cluster=self.cluster, clock=self.now),
            clock=self.now,
        )

    def show_claims(self) -> None:
        """Let the operator hear of every claim, as a watch does from its start."""
        for claim in self.cluster.of("NodeClaim"):
            owner = owner_of(claim)
            if owner is not None:
                self.names.seen(owner, claim["metadata"]["name"])

    def write(self, manifest: Manifest) -> None:
        """Store a Workspace as its user writes it."""
        metadata = {**manifest["metadata"], "name": KEY.name, "namespace": KEY.namespace}
        self.cluster.put({**manifest, "metadata": metadata})

    async def settle(self, passes: int = PASSES) -> None:
        """Let the operator work until a pass writes nothing, or for so many passes."""
        operator = self.operator()
        for _ in range(passes):
            before = self.cluster.writes
            self.show_claims()
            await operator(KEY)
            await operator.late.tell(KEY)
            await operator.reporter.tell(KEY)
            self.seconds += PASS_SECONDS
            if not self._play() and self.cluster.writes == before:
                return

    @property
    def workspace(self) -> Manifest:
        (found,) = self.cluster.of("Workspace")
        return found

    def _play(self) -> bool:
        """Let cloud and kubelet do their part, and say whether they did anything."""
        return any([self._cloud(), self._kubelet()])

    def _cloud(self) -> bool:
        claims = self.cluster.of("NodeClaim")
        new = [claim for claim in claims if "status" not in claim]
        for claim in new:
            name = claim["metadata"]["name"]
            steps = ("Launched", "Registered", "Initialized", "Ready")
            claim["status"] = {
                "nodeName": name,
                "conditions": [condition(step, since=self.seconds) for step in steps],
            }
            self.cluster.put(
                {
                    "apiVersion": "v1",
                    "kind": "Node",
                    "metadata": {"name": name, "labels": dict(claim["metadata"]["labels"])},
                    "status": {
                        "conditions": [condition("Ready", since=self.seconds)],
                        "allocatable": {"nvidia.com/gpu": "2"},
                    },
                }
            )
        names = {claim["metadata"]["name"] for claim in claims}
        return bool(new) | self._forget("Node", names)

    def _kubelet(self) -> bool:
        nodes = self.cluster.of("Node")
        made = False
        wanted = set()
        for deployment in self.cluster.of("Deployment"):
            for node in nodes[: deployment["spec"]["replicas"]]:
                template = deployment["spec"]["template"]
                name = f"{KEY.name}-{node['metadata']['name']}"
                wanted.add(name)
                if ("Pod", KEY.namespace, name) not in self.cluster.objects:
                    self.cluster.put(_pod(name, node["metadata"]["name"], template))
                    made = True
        return made | self._forget("Pod", wanted)

    def _forget(self, kind: str, kept: set[str]) -> bool:
        gone = [
            place for place in self.cluster.objects if place[0] == kind and place[2] not in kept
        ]
        for place in gone:
            del self.cluster.objects[place]
        return bool(gone)


def _pod(name: str, node: str, template: Manifest) -> Manifest:
    container = template["spec"]["containers"][0]["name"]
    state = {"running": {"startedAt": "2026-03-01T10:00:00Z"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": KEY.namespace,
            "labels": dict(template["metadata"]["labels"]),
        },
        "spec": {"nodeName": node, "containers": [{"name": container}]},
        "status": {
            "phase": "Running",
            "podIP": "198.18.4.7",
            "conditions": [condition("PodScheduled"), condition("Ready")],
            "containerStatuses": [{"name": container, "restartCount": 0, "state": state}],
        },
    }
