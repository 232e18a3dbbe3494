"""
Notice a machine that is paid for and of no use: its node is down, or its GPU does not show or work.

Nobody else does in time. Karpenter waits for a GPU for ever once the node has joined, gives a node
that is down ten minutes at least and repairs none where its provider has no policy for it, and
knows nothing about a GPU that fails under load. Such a machine is given back, and another asked for
at once - one time: a second one that is broken as well points at the image, the driver or the
model, and buying machines cures none of these. An hour of health later it may be done again.

Invariant: it depends on observed times and the status alone, so passes agree, and a claim that was
given back is recorded whoever deleted it.
Must not import the other files of `objects`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from workspace_operator.api import GpuFailure, NodeAttempt, WorkspaceStatus
from workspace_operator.plan import Plan
from workspace_operator.snapshot import Node, NodeClaim, Snapshot

# From Ready to the device plugin's registration take drivers two to five minutes; a node's own
# start takes less.
STARTING_PATIENCE = timedelta(minutes=10)
# As long as Kubernetes itself lets pods stay on a node that is down (tolerationSeconds: 300).
NODE_PATIENCE = timedelta(minutes=5)
GPU_FAILURES = 3
GPU_FAILURE_SPAN = timedelta(minutes=15)
MOST_REPLACEMENTS = 1
HEALED_AFTER = timedelta(hours=1)

# Source: docs/architecture.md, exit codes of the server.
DEVICE_LOST = 71


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """Say what is wrong with a machine: one word, and a part of a sentence."""

    word: str
    why: str


def gpu_failures(
    before: WorkspaceStatus, snapshot: Snapshot, now: datetime
) -> tuple[GpuFailure, ...]:
    """Return when a server lost its GPU lately: what is remembered, and what pods show now."""
    found = {(each.node, each.time) for each in before.gpu_failures}
    for pod in snapshot.pods:
        end = pod.last_end
        if end is not None and end.exit_code == DEVICE_LOST and end.finished and pod.node:
            found.add((pod.node, end.finished))
    recent = sorted((time, node) for node, time in found if now - time <= GPU_FAILURE_SPAN)
    return tuple(GpuFailure(node=node, time=time) for time, node in recent)


def unhealthy_gpu(node: str, failures: tuple[GpuFailure, ...]) -> Broken | None:
    """Say whether the GPU of a node failed too often to go on."""
    times = [each.time for each in failures if each.node == node]
    if len(times) < GPU_FAILURES:
        return None
    return Broken(
        word="GPUUnhealthy",
        why=f"the GPU of node {node} was lost {len(times)} times within 15 minutes, last at "
        f"{times[-1]:%Y-%m-%dT%H:%M:%SZ} (the server ended with exit code {DEVICE_LOST})",
    )


def broken(
    claim: NodeClaim,
    plan: Plan,
    snapshot: Snapshot,
    failures: tuple[GpuFailure, ...],
    now: datetime,
) -> Broken | None:
    """Say why the machine of a claim is of no use, if it is not."""
    node = next((each for each in snapshot.nodes if each.name == claim.node_name), None)
    if node is None:
        return None
    return (
        _down(claim, node, now)
        or _without_gpu(claim, node, plan, now)
        or unhealthy_gpu(node.name, failures)
    )


def may_replace(claim: NodeClaim, record: NodeAttempt | None) -> bool:
    """Say whether a broken machine may be given back, or enough others have been already."""
    others = [name for name in (record.given_back if record else ()) if name != claim.name]
    return len(others) < MOST_REPLACEMENTS


def _down(claim: NodeClaim, node: Node, now: datetime) -> Broken | None:
    ready = node.conditions.get("Ready")
    if ready is None or ready.is_true or ready.since is None:
        return None
    if now - ready.since <= (NODE_PATIENCE if claim.ready else STARTING_PATIENCE):
        return None
    said = ready.message or ready.reason or "no reason given"
    return Broken(
        word="NodeNotReady",
        why=f"node {node.name} has not been Ready since {ready.since:%Y-%m-%dT%H:%M:%SZ}: {said}",
    )


def _without_gpu(claim: NodeClaim, node: Node, plan: Plan, now: datetime) -> Broken | None:
    """Speak of a GPU that never came; one that was there may come back with its device plugin."""
    ready = node.conditions.get("Ready")
    if claim.ready or node.gpus >= plan.gpus_per_node:
        return None
    if ready is None or ready.since is None or now - ready.since <= STARTING_PATIENCE:
        return None
    return Broken(
        word="GPUNotVisible",
        why=f"node {node.name} has been Ready since {ready.since:%Y-%m-%dT%H:%M:%SZ} and shows "
        f"{node.gpus} of {plan.gpus_per_node} nvidia.com/gpu",
    )
