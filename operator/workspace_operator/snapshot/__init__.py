"""
Hold what the cluster contains for one Workspace at one moment, as plain data.

Everything that decides (what to make, what to remove, what to tell the user) takes a `Snapshot` and
nothing else about the cluster, so it can be tested with literals and cannot depend on the order in
which events arrived.

Invariant: parsing never fails and never invents; an object that was not read is absent, not empty.
Must not import anything above `snapshot`: no plan, no objects, no client.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from workspace_operator.api import Startup
from workspace_operator.snapshot.claims import CLAIM_STEPS, NodeClaim
from workspace_operator.snapshot.jobs import TrainingAnswer, is_pod_of
from workspace_operator.snapshot.nodes import GPU_RESOURCE, Node
from workspace_operator.snapshot.others import Taken, taken_by
from workspace_operator.snapshot.pod_events import PodWarning
from workspace_operator.snapshot.pods import ModelAnswer, Pod, Termination
from workspace_operator.snapshot.reading import Manifest, ObservedCondition

__all__ = [
    "CLAIM_STEPS",
    "GPU_RESOURCE",
    "Manifest",
    "ModelAnswer",
    "Node",
    "NodeClaim",
    "ObservedCondition",
    "Pod",
    "PodWarning",
    "Snapshot",
    "Taken",
    "Termination",
    "TrainingAnswer",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """
    Hold the objects of one Workspace, oldest first, and the live manifests to compare with.

    `claims` are the NodeClaims that carry the Workspace's labels, and those whose names its status
    remembers. `nodes` may hold foreign nodes too: placement picks the ones that match. `last_words`
    says what claims that are gone complained of; it explains, and decides nothing. `starts` are the
    ledgers of other Workspaces with the same preset, for a plan. `taken` says what pods of others
    hold of the nodes that the user brings; `rivals` says the same, our own pods of other revisions
    included, where a roll-out looks for room, and is None elsewhere. `claims_served` is false where
    the cluster does not know NodeClaims. `trainings` are what pods that tune said of themselves,
    `warnings` what Events say of pods that do not explain themselves.
    """

    claims: tuple[NodeClaim, ...] = ()
    claims_served: bool = True
    nodes: tuple[Node, ...] = ()
    pods: tuple[Pod, ...] = ()
    answers: Mapping[str, ModelAnswer] = field(default_factory=dict)
    deployment: Manifest | None = None
    service: Manifest | None = None
    network_policy: Manifest | None = None
    job: Manifest | None = None
    trainings: Mapping[str, TrainingAnswer] = field(default_factory=dict)
    replica_sets: tuple[Manifest, ...] = ()
    live_claims: Mapping[str, Manifest] = field(default_factory=dict)
    last_words: Mapping[str, ObservedCondition] = field(default_factory=dict)
    starts: tuple[Startup, ...] = ()
    taken: Mapping[str, Taken] = field(default_factory=dict)
    rivals: Mapping[str, Taken] | None = None
    warnings: Mapping[str, PodWarning] = field(default_factory=dict)

    @classmethod
    def parse(  # noqa: PLR0913 - one keyword per kind that was read
        cls,
        *,
        node_claims: Iterable[Manifest] = (),
        claims_served: bool = True,
        nodes: Iterable[Manifest] = (),
        deployment: Manifest | None = None,
        service: Manifest | None = None,
        network_policy: Manifest | None = None,
        job: Manifest | None = None,
        trainings: Mapping[str, TrainingAnswer] | None = None,
        replica_sets: Iterable[Manifest] = (),
        pods: Iterable[Manifest] = (),
        answers: Mapping[str, ModelAnswer] | None = None,
        last_words: Mapping[str, ObservedCondition] | None = None,
        starts: Iterable[Startup] = (),
        others: Iterable[Manifest] = (),
        rivals: Iterable[Manifest] | None = None,
        warnings: Mapping[str, PodWarning] | None = None,
    ) -> Self:
        """Read the objects as the API server returned them."""
        manifests = tuple(node_claims)
        pods = [pod for pod in pods if job is None or is_pod_of(job, pod)]
        claims = (NodeClaim.parse(manifest) for manifest in manifests)
        return cls(
            claims=tuple(sorted(claims, key=_by_age)),
            claims_served=claims_served,
            nodes=tuple(sorted(map(Node.parse, nodes), key=lambda node: node.name)),
            pods=tuple(sorted(map(Pod.parse, pods), key=_by_age)),
            answers=dict(answers or {}),
            deployment=deployment,
            service=service,
            network_policy=network_policy,
            job=job,
            trainings=dict(trainings or {}),
            replica_sets=tuple(replica_sets),
            live_claims={NodeClaim.parse(manifest).name: manifest for manifest in manifests},
            last_words=dict(last_words or {}),
            starts=tuple(starts),
            taken=taken_by(others),
            rivals=None if rivals is None else taken_by(rivals),
            warnings=dict(warnings or {}),
        )

    @property
    def current_pods(self) -> tuple[Pod, ...]:
        """Return the pods that are not on their way out."""
        return tuple(pod for pod in self.pods if not pod.deleting)

    @property
    def serving_pods(self) -> tuple[Pod, ...]:
        """Return the pods that get requests and have been seen to generate a token."""
        return tuple(
            pod for pod in self.current_pods if pod.ready and self.answer(pod).token_generated
        )

    def answer(self, pod: Pod) -> ModelAnswer:
        """Return what a pod's server said, which is nothing if it was not asked."""
        return self.answers.get(pod.name, ModelAnswer())


def _by_age(thing: NodeClaim | Pod) -> tuple[bool, float, str]:
    """Order the oldest first; what has no birth date yet comes last."""
    created = thing.created
    return (created is None, created.timestamp() if created else 0.0, thing.name)
