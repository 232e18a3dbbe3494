"""
Say whether a roll-out may start a pod before it stops one: only where a GPU is free for it.

By default a pod is stopped first (`maxSurge: 0`). Where the machines are bought there are as many
as pods, and a pod that waits for a GPU makes autoscalers buy another. Where the user brings the
nodes, one that matches may be idle: then the new pod starts there, and the old one serves until a
token has come out of the new.

That is decided once, when the template changes, from the pods that hold GPUs at that moment. A
roll-out that began so falls back to stopping first when its place is taken or its pod is not
placed; one that began by stopping stays with that, so nothing flaps.

Invariant: two models never share a GPU. The scheduler gives each to one pod; this only decides who
waits. Must not import the other kinds of `objects`, but for metadata, placement and rollout.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from workspace_operator.api import Workspace
from workspace_operator.objects.placement import TOLERATIONS, matching_nodes
from workspace_operator.objects.rollout import revision_of
from workspace_operator.plan import Plan
from workspace_operator.settings import NodeProvisioner
from workspace_operator.snapshot import Manifest, Node, Snapshot, Taken
from workspace_operator.snapshot.reading import integer, mappings, section, text

STOP_FIRST: Manifest = {"maxSurge": 0, "maxUnavailable": 1}
START_FIRST: Manifest = {"maxSurge": 1, "maxUnavailable": 0}
KEEPS_PODS_AWAY = frozenset({"NoSchedule", "NoExecute"})
MOST_NAMED = 3
# As `snapshot.pods` names what a pod borrows.
CLAIM = "PersistentVolumeClaim "


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """
    Hold how a roll-out goes.

    Attributes:
        starts_first: Whether the new pod starts before an old one is stopped.
        why: What a user is told about it; nothing where it was decided, and told, before.
    """

    starts_first: bool
    why: str

    @property
    def strategy(self) -> Manifest:
        """Return it as a Deployment spells it."""
        return START_FIRST if self.starts_first else STOP_FIRST


def is_rolling(deployment: Manifest, revision: str) -> bool:
    """Say whether a Deployment is to change to this revision of the pod, or is at it."""
    if revision_of(section(deployment, "spec", "template")) != revision:
        return True
    status = section(deployment, "status")
    seen = integer(status.get("observedGeneration"))
    updated = integer(status.get("updatedReplicas"))
    return (
        seen < integer(section(deployment, "metadata").get("generation"))
        or updated < integer(section(deployment, "spec").get("replicas"))
        or updated < integer(status.get("replicas"))
    )


def manner(workspace: Workspace, plan: Plan, snapshot: Snapshot, revision: str) -> Manner:
    """
    Say how a roll-out to a revision of the pod goes.

    Args:
        workspace: Whose.
        plan: What was decided.
        snapshot: What the cluster holds; `rivals` only where a roll-out is due or under way.
        revision: The revision that is to run.
    """
    live = snapshot.deployment
    if plan.provisioner is not NodeProvisioner.BYO:
        return _stops("each machine was bought for one pod")
    if live is None or not is_rolling(live, revision):
        return _stops("")
    strategy = section(live, "spec", "strategy", "rollingUpdate")
    begun = revision_of(section(live, "spec", "template")) == revision
    if snapshot.rivals is None or (begun and integer(strategy.get("maxSurge")) == 0):
        return _stops("")
    for pod in snapshot.pods:
        held = next((each for each in pod.volumes if each.startswith(CLAIM)), "")
        if pod.revision != revision and held:
            return _stops(f"{held} may be held by one node at a time")
    for pod in snapshot.current_pods:
        verdict = pod.scheduled
        if pod.revision == revision and verdict is not None and verdict.status == "False":
            return _stops(f"pod {pod.name} found no place beside it")
    return _room(workspace, plan, snapshot, revision)


def _room(workspace: Workspace, plan: Plan, snapshot: Snapshot, revision: str) -> Manner:
    """Look for a node that has room for one more pod."""
    rivals = snapshot.rivals or {}
    older = {pod.node for pod in snapshot.pods if pod.revision != revision}
    matching = matching_nodes(workspace, plan, snapshot)
    open_to_us = [node for node in matching if _takes_pods(node, workspace)]
    for node in open_to_us:
        left = node.allocatable(plan.gpu_resource) - _taken(rivals, node, plan)
        # Where no GPU is asked for, only the scheduler knows what is left: a node of its own then.
        if left >= plan.gpus_per_node if plan.gpus_per_node else node.name not in older:
            return Manner(starts_first=True, why=f"node {node.name} has room for both")
    held = [
        f"{node.name} by {rivals[node.name].holders[plan.gpu_resource][0]}"
        for node in open_to_us
        if _taken(rivals, node, plan)
    ]
    wanted = f"{plan.gpus_per_node} free {plan.gpu_resource}" if plan.gpus_per_node else "room"
    rest = f" (held: {', '.join(held[:MOST_NAMED])})" if held else ""
    return _stops(f"no node that matches and takes pods has {wanted}{rest}")


def _stops(why: str) -> Manner:
    return Manner(starts_first=False, why=why)


def _taken(rivals: Mapping[str, Taken], node: Node, plan: Plan) -> int:
    return rivals[node.name].of(plan.gpu_resource) if node.name in rivals else 0


def _takes_pods(node: Node, workspace: Workspace) -> bool:
    """Say whether a node that is ready takes another pod of a Workspace."""
    inference = workspace.inference
    template = (inference.template if inference else None) or {}
    tolerations = (*TOLERATIONS, *mappings(section(template, "spec").get("tolerations")))
    away = (taint for taint in node.taints if taint.rpartition(":")[2] in KEEPS_PODS_AWAY)
    return (
        node.ready
        and not node.unschedulable
        and all(any(_tolerates(each, taint) for each in tolerations) for taint in away)
    )


def _tolerates(toleration: Manifest, taint: str) -> bool:
    """Compare as the scheduler does. Source: k8s.io/component-helpers, scheduling/corev1."""
    rest, _, effect = taint.rpartition(":")
    key, _, value = rest.partition("=")
    if toleration.get("effect") not in (None, "", effect):
        return False
    if not toleration.get("key"):
        return toleration.get("operator") == "Exists"
    if toleration["key"] != key:
        return False
    return toleration.get("operator") == "Exists" or text(toleration.get("value")) == value
