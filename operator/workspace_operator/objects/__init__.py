"""
Say what should exist for a Workspace: from plan and snapshot to complete manifests.

One file per kind, each a function without side effects. What is returned here is the whole truth
about what this operator wants; whether it is already there is decided in `changes`.

The Deployment is gated (docs/adr/0003): it is wanted when as many nodes as the plan has are ready
and show their GPUs, or when it is there already. A pod that waits for a GPU invites other
autoscalers to buy a second node, and a Deployment that lost its node must not lose its history.

Invariant: the same input gives the same manifests, byte for byte.
Must not import changes or status.
"""

from dataclasses import replace
from datetime import datetime

from workspace_operator.api import Rollout, Workspace
from workspace_operator.objects.deployment import deployment, pod_template
from workspace_operator.objects.metadata import identity_of, is_ours, with_desired_hash
from workspace_operator.objects.network_policy import network_policy
from workspace_operator.objects.node_claim import node_claim
from workspace_operator.objects.placement import usable_nodes
from workspace_operator.objects.rollout import Decision, decide, revision_of, with_record
from workspace_operator.objects.service import service
from workspace_operator.objects.slots import slots
from workspace_operator.objects.surge import STOP_FIRST, is_rolling, manner
from workspace_operator.objects.tuning_job import gives_nodes_back, tuning_job
from workspace_operator.plan import Plan, ports_of
from workspace_operator.settings import NodeProvisioner, Settings
from workspace_operator.snapshot import Manifest, Snapshot
from workspace_operator.snapshot.reading import integer, section

__all__ = ["desired_objects", "is_rolling", "rollout", "wanted_revision"]


def desired_objects(
    workspace: Workspace, plan: Plan, snapshot: Snapshot, settings: Settings, now: datetime
) -> tuple[Manifest, ...]:
    """
    Return the objects that should exist now, in the order in which to write them.

    A NodeClaim that stands is not among them: nothing of it may change. Only those to be asked for
    now are.
    """
    if plan.training is not None:
        return _training(workspace, plan, snapshot, settings, now)
    decision = rollout(workspace, plan, snapshot, settings, now)
    template = decision.template
    if plan.preset is None:
        plan = replace(plan, ports=ports_of(template))
    wanted = [
        *_claims(workspace, plan, snapshot, settings, now),
        with_desired_hash(service(workspace, plan)),
    ]
    if _gate_is_open(workspace, plan, snapshot):
        if settings.model_network_policy:
            wanted.append(with_desired_hash(network_policy(workspace, plan, settings)))
        replicas = _replicas(workspace, plan, snapshot)
        how = manner(workspace, plan, snapshot, revision_of(template))
        strategy = STOP_FIRST if decision.record.failed else how.strategy
        made = deployment(workspace, plan, template, replicas, strategy)
        wanted.append(with_desired_hash(with_record(made, decision.record)))
    return tuple(wanted)


def _training(
    workspace: Workspace, plan: Plan, snapshot: Snapshot, settings: Settings, now: datetime
) -> tuple[Manifest, ...]:
    """Return what a tuning needs: a machine, and on it a Job that nobody but us may speak to."""
    wanted = _claims(workspace, plan, snapshot, settings, now)
    if plan.preset is None or workspace.tuning is None:
        return tuple(wanted)
    if _gate_is_open(workspace, plan, snapshot):
        if settings.model_network_policy:
            wanted.append(with_desired_hash(network_policy(workspace, plan, settings)))
        wanted.append(tuning_job(workspace, workspace.tuning, plan, plan.preset, settings))
    return tuple(wanted)


def rollout(
    workspace: Workspace, plan: Plan, snapshot: Snapshot, settings: Settings, now: datetime
) -> Decision:
    """Say which pod template is to run now, and what is to be remembered of why."""
    if plan.training is not None:
        return Decision(template={}, record=Rollout())
    template = pod_template(workspace, plan, settings)
    return decide(workspace, plan, template, snapshot, settings, now)


def wanted_revision(workspace: Workspace, plan: Plan, settings: Settings) -> str:
    """Name the revision of the pod that a Workspace asks for."""
    return revision_of(pod_template(workspace, plan, settings)) if plan.training is None else ""


def _replicas(workspace: Workspace, plan: Plan, snapshot: Snapshot) -> int:
    """
    Return how many pods there are to be now: never more than there are nodes for them.

    A pod beyond them would wait, and a waiting pod makes other autoscalers buy a node. Fewer are
    wanted at once when the count goes down; those that run without a node stay for its return.
    """
    live = snapshot.deployment
    if live is None or not is_ours(identity_of(workspace), live):
        return plan.node_count
    running = integer(section(live, "spec").get("replicas"))
    usable = len(usable_nodes(workspace, plan, snapshot))
    return min(plan.node_count, max(running, usable))


def _claims(
    workspace: Workspace, plan: Plan, snapshot: Snapshot, settings: Settings, now: datetime
) -> list[Manifest]:
    if plan.provisioner is NodeProvisioner.BYO or gives_nodes_back(workspace, plan, snapshot):
        return []
    return [
        node_claim(workspace, plan, settings, slot)
        for slot in slots(workspace, plan, snapshot, now).slots
        if slot.due(now)
    ]


def _gate_is_open(workspace: Workspace, plan: Plan, snapshot: Snapshot) -> bool:
    owner = identity_of(workspace)
    if any(
        live is not None and is_ours(owner, live) for live in (snapshot.deployment, snapshot.job)
    ):
        return True
    return len(usable_nodes(workspace, plan, snapshot)) >= plan.node_count
