"""
Read everything that one Workspace is made of, freshly and at the same time.

Invariant: what was read is what the API server held when the pass began, never what a cache holds.
A kind that the cluster does not serve (NodeClaims, where nodes are brought) counts as empty.
Must not write or decide.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from workspace_operator.api import Inference, Startup, Workspace, WorkspaceStatus, parse_status
from workspace_operator.api.weights import weights_source
from workspace_operator.claim_search import ClaimSearch, remembered
from workspace_operator.cluster import Cluster, Kind, Manifest, find_all
from workspace_operator.cluster.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    JOB,
    NETWORK_POLICY,
    NODE,
    POD,
    REPLICA_SET,
    SERVICE,
    WORKSPACE,
)
from workspace_operator.last_words import LastWords
from workspace_operator.model_probe import ModelProbe, by_readiness
from workspace_operator.objects import is_rolling
from workspace_operator.objects.metadata import WORKSPACE_LABEL, Identity, is_ours
from workspace_operator.objects.network_policy import policy_name
from workspace_operator.objects.rollout import revision_of
from workspace_operator.plan import plan_only
from workspace_operator.pod_warnings import PodWarnings
from workspace_operator.settings import NodeProvisioner, Probe, Settings
from workspace_operator.snapshot import ModelAnswer, NodeClaim, Pod, Snapshot, TrainingAnswer
from workspace_operator.snapshot.reading import section, strings, text
from workspace_operator.training_probe import TrainingProbe


def utc_now() -> datetime:
    """Return the present."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observer:
    """Read the cluster for one Workspace at a time."""

    cluster: Cluster
    settings: Settings
    claims: ClaimSearch
    probe: ModelProbe
    last_words: LastWords
    warnings: PodWarnings
    clock: Callable[[], datetime] = utc_now
    training_probe: TrainingProbe = field(default_factory=TrainingProbe)

    async def observe(
        self,
        owner: Identity,
        status: WorkspaceStatus,
        workspace: Workspace | None,
        revision: str = "",
    ) -> Snapshot:
        """
        Return what the cluster holds for a Workspace.

        Args:
            owner: Whose objects to look for.
            status: What was reported last; it remembers the names of claims.
            workspace: Its parsed form, or None where it cannot be read or is on its way out; then
                neither nodes nor pods are asked for.
            revision: The revision of the pod that it asks for, where there is one.

        """
        tunes = workspace is not None and workspace.tuning is not None
        serves = workspace is not None and workspace.tuning is None
        (claims, nodes), (deployment, service, policy, job), starts, sets = await asyncio.gather(
            self._claims_and_nodes(owner, status, workspace),
            asyncio.gather(
                self._find_unless(tunes, DEPLOYMENT, owner),
                self._find_unless(tunes, SERVICE, owner),
                self.cluster.find(NETWORK_POLICY, policy_name(owner.name), owner.namespace),
                self._find_unless(serves, JOB, owner),
            ),
            self._starts(workspace),
            self._replica_sets(owner, status),
        )
        brought = workspace and self.settings.node_provisioner is NodeProvisioner.BYO
        nothing = deployment is None and job is None
        others = await self._pods_on(nodes) if brought and nothing else []
        rivals = None
        if brought and revision and deployment is not None and is_rolling(deployment, revision):
            on_nodes = await self._pods_on(nodes)
            rivals = [pod for pod in on_nodes if not _is_next(pod, owner, revision)]
        pods = [] if workspace is None or nothing else await self._pods(owner)
        inference = workspace.inference if workspace else None
        own_server = inference is None or inference.template is None
        answers = await self._answers(pods, own_server=own_server) if serves else {}
        trainings = await self._trainings(pods) if tunes else {}
        warnings = await self.warnings.of(
            owner.namespace, map(Pod.parse, pods), self.clock(), own_program=not own_server
        )
        return Snapshot.parse(
            node_claims=claims or (),
            claims_served=claims is not None,
            nodes=nodes,
            deployment=deployment,
            service=service,
            network_policy=policy,
            job=job,
            trainings=trainings,
            replica_sets=sets,
            pods=pods,
            answers=answers,
            last_words=self.last_words.of(remembered(status)),
            starts=starts,
            others=others,
            rivals=rivals,
            warnings=warnings,
        )

    async def what_runs(self, owner: Identity, status: WorkspaceStatus, body: Manifest) -> Snapshot:
        """Return the machines and pods of a Workspace that cannot be read."""
        claims = await self.claims.enough(owner, status, wanted=1)
        pods = await self._pods(owner)
        if section(body, "tuning"):
            job = await self.cluster.find(JOB, owner.name, owner.namespace)
            return Snapshot.parse(
                node_claims=claims or (),
                pods=pods,
                job=job if job is not None and is_ours(owner, job) else None,
                trainings=await self._trainings(pods),
            )
        own_server = not section(body, "inference", "template")
        answers = await self._answers(pods, own_server=own_server)
        return Snapshot.parse(node_claims=claims or (), pods=pods, answers=answers)

    async def _pods_on(self, nodes: list[Manifest]) -> list[Manifest]:
        """Return the pods on nodes that the user brings, before one of ours is put there."""
        names = sorted(text(section(node, "metadata").get("name")) for node in nodes)
        found = await asyncio.gather(
            *(self.cluster.list(POD, fields=f"spec.nodeName={name}") for name in names)
        )
        return [pod for several in found for pod in several]

    async def _starts(self, workspace: Workspace | None) -> list[Startup]:
        """Return how long others took with this preset and source of weights, for a plan."""
        if workspace is None or not plan_only(workspace) or not _preset_name(workspace.inference):
            return []
        named = _preset_name(workspace.inference)
        source = weights_source(workspace.annotations).kind
        found = []
        for body in await self.cluster.list(WORKSPACE, fresh=False):
            preset = section(body, "inference", "preset")
            startup = parse_status(body.get("status")).startup
            if startup is None or text(preset.get("name")) != named:
                continue
            annotations = strings(section(body, "metadata", "annotations"))
            if weights_source(annotations).kind is source:
                found.append(startup)
        return found

    async def _replica_sets(self, owner: Identity, status: WorkspaceStatus) -> list[Manifest]:
        """Read the earlier revisions of the pod, where one is tried or was taken back."""
        if status.rollout is None or not (status.rollout.candidate or status.rollout.failed):
            return []
        labels = f"{WORKSPACE_LABEL}={owner.name}"
        return await self.cluster.list(REPLICA_SET, namespace=owner.namespace, labels=labels)

    async def config(self, workspace: Workspace) -> Manifest | None:
        """
        Return the ConfigMap that a Workspace names, or None where none is named or none is there.

        It is read by its name in every pass, and never watched: rights to list and watch would let
        the operator read every ConfigMap of the cluster, of which it needs the few that are named.
        So an edit is noticed at the next look, which `requeue_after_seconds` sets.
        """
        job = workspace.inference or workspace.tuning
        name = job.config if job and job.preset else None
        if not name:
            return None
        return await self.cluster.find(CONFIG_MAP, name, workspace.namespace)

    async def _claims_and_nodes(
        self, owner: Identity, status: WorkspaceStatus, workspace: Workspace | None
    ) -> tuple[list[Manifest] | None, list[Manifest]]:
        """Find claims and nodes; no claims at all where the cluster does not serve the kind."""
        if workspace is not None and self.settings.node_provisioner is NodeProvisioner.BYO:
            return [], await self.cluster.list(NODE, labels=label_selector(workspace))
        if workspace is None:
            return await self.claims.every(owner, status), []
        claims = await self.claims.enough(owner, status, workspace.resource.count)
        if claims is None:
            return None, []
        names = {NodeClaim.parse(claim).node_name for claim in claims} - {""}
        return claims, await find_all(self.cluster, NODE, names)

    async def _find_unless(self, needless: bool, kind: Kind, owner: Identity) -> Manifest | None:  # noqa: FBT001 - two kinds of Workspace, of which one has no such object
        return None if needless else await self.cluster.find(kind, owner.name, owner.namespace)

    async def _pods(self, owner: Identity) -> list[Manifest]:
        """
        Find the pods.

        From the API server's cache, since nothing is bought or deleted because of a pod, and what
        counts of it is what it answers. A pod that is missing here wakes the next pass.
        """
        labels = f"{WORKSPACE_LABEL}={owner.name}"
        return await self.cluster.list(POD, namespace=owner.namespace, labels=labels, fresh=False)

    async def _answers(
        self, manifests: list[Manifest], *, own_server: bool
    ) -> dict[str, ModelAnswer]:
        """Ask the pods that serve."""
        pods = [Pod.parse(manifest) for manifest in manifests]
        if self.settings.probe is Probe.READINESS or not own_server:
            return by_readiness(pods)
        return await self.probe.answers(pods)

    async def _trainings(self, manifests: list[Manifest]) -> dict[str, TrainingAnswer]:
        """Ask the pods that tune."""
        if self.settings.probe is Probe.READINESS:
            return {}
        return await self.training_probe.answers(map(Pod.parse, manifests))


def _preset_name(inference: Inference | None) -> str:
    return inference.preset.name if inference and inference.preset else ""


def _is_next(pod: Manifest, owner: Identity, revision: str) -> bool:
    """Say whether a pod is the one that a roll-out has put there."""
    metadata = section(pod, "metadata")
    ours = strings(metadata.get("labels")).get(WORKSPACE_LABEL) == owner.name
    return ours and metadata.get("namespace") == owner.namespace and revision_of(pod) == revision


def label_selector(workspace: Workspace) -> str:
    """Spell a Workspace's label selector as the API's query parameter does."""
    selector = workspace.resource.label_selector
    terms = [f"{key}={value}" for key, value in sorted(selector.match_labels.items())]
    for each in selector.match_expressions:
        values = ",".join(each.values)
        terms.append(
            {
                "In": f"{each.key} in ({values})",
                "NotIn": f"{each.key} notin ({values})",
                "Exists": each.key,
                "DoesNotExist": f"!{each.key}",
            }[each.operator]
        )
    return ",".join(terms)
