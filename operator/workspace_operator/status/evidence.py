"""
Gather what the checks look at, worked out once.

Must not import the checks.
"""

from dataclasses import dataclass
from datetime import datetime

from workspace_operator.api import GpuFailure, Workspace
from workspace_operator.objects.placement import matching_nodes, usable_nodes
from workspace_operator.objects.slots import Slots, slots
from workspace_operator.objects.tuning_job import gives_nodes_back
from workspace_operator.objects.watchdog import gpu_failures
from workspace_operator.plan import Plan
from workspace_operator.settings import NodeProvisioner
from workspace_operator.snapshot import ModelAnswer, Node, Pod, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """
    Hold a Workspace with its plan, and the parts of the cluster that belong to it.

    Attributes:
        slots: The machines; none where the user brings nodes.
        nodes: Nodes that match.
        usable: Those of them that are ready and show their GPUs.
        pods: Pods that are neither on their way out nor at their end.
        gpu_failures: When servers lost their GPU lately.
        ended: Pods that failed and still lie around, such as evicted ones.
        released: Whether the machines were given back, since a training has ended.
    """

    workspace: Workspace
    plan: Plan
    snapshot: Snapshot
    now: datetime
    slots: Slots
    nodes: tuple[Node, ...]
    usable: tuple[Node, ...]
    pods: tuple[Pod, ...]
    ended: tuple[Pod, ...]
    gpu_failures: tuple[GpuFailure, ...] = ()
    released: bool = False

    @property
    def brought(self) -> bool:
        """Say whether the user brings the nodes."""
        return self.plan.provisioner is NodeProvisioner.BYO

    @property
    def machine(self) -> str:
        """Name the machine that is asked for."""
        return " or ".join(self.plan.candidates[:3]) or "any machine"

    @property
    def serving(self) -> tuple[Pod, ...]:
        """Return the pods that get requests and have been seen to generate a token."""
        return tuple(pod for pod in self.pods if pod.ready and self.answer(pod).token_generated)

    def answer(self, pod: Pod) -> ModelAnswer:
        """Return what a pod's server said, which is nothing if it was not asked."""
        return self.snapshot.answer(pod)


def gather(workspace: Workspace, plan: Plan, snapshot: Snapshot, now: datetime) -> Evidence:
    """Work out which parts of the snapshot matter."""
    brought = plan.provisioner is NodeProvisioner.BYO
    released = gives_nodes_back(workspace, plan, snapshot)
    ended = tuple(pod for pod in snapshot.pods if pod.phase in {"Failed", "Succeeded"})
    return Evidence(
        workspace=workspace,
        plan=plan,
        snapshot=snapshot,
        now=now,
        released=released,
        slots=Slots(slots=(), surplus=())
        if brought or released
        else slots(workspace, plan, snapshot, now),
        nodes=matching_nodes(workspace, plan, snapshot),
        usable=usable_nodes(workspace, plan, snapshot),
        pods=tuple(pod for pod in snapshot.current_pods if pod not in ended),
        ended=ended,
        gpu_failures=gpu_failures(workspace.status, snapshot, now),
    )
