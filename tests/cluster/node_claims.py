"""
What the local machine provider does next for a NodeClaim, and what it says about it. Pure.

It plays the part of Karpenter and of a cloud, in Karpenter's words: the conditions Launched,
Registered, Initialized and their sum Ready, with the reasons that Karpenter's lifecycle controller
gives. Everything is decided from what the cluster holds now, so a provider that was killed goes on
where it was. Source: kubernetes-sigs/karpenter v1.13.0, pkg/controllers/nodeclaim/lifecycle.

Must not read the clock, the disk or the API.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.cluster.instance_types import ZONE, InstanceType

Manifest = Mapping[str, Any]

FINALIZER = "karpenter.sh/termination"
UNREGISTERED = {"key": "karpenter.sh/unregistered", "value": "", "effect": "NoExecute"}
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
GPU = "nvidia.com/gpu"
NO_CAPACITY = "InsufficientCapacityError"
STEPS = ("Launched", "Registered", "Initialized")
# Taints that go by themselves while a node starts.
# Source: pkg/scheduling/taints.go, KnownEphemeralTaints.
EPHEMERAL_TAINTS = frozenset(
    {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.cloudprovider.kubernetes.io/uninitialized",
        UNREGISTERED["key"],
    }
)


class Step(StrEnum):
    """The one thing to do for a claim."""

    NOTHING = "nothing"
    ADOPT = "adopt"  # put the finalizer on, before there is anything to lose
    REFUSE = "refuse"  # say why there is no such machine, and delete the claim
    LAUNCH = "launch"
    BOOT = "boot"
    REGISTER = "register"
    ADVERTISE = "advertise"  # show the simulated GPUs
    INITIALIZE = "initialize"
    WAIT = "wait"  # say what is missing
    TERMINATE = "terminate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The machine that a claim gets, or why there is none."""

    instance_type: InstanceType | None
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A step, and the reason and message of the condition that it waits for."""

    step: Step
    condition: str = ""
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A claim and what there is of its machine."""

    claim: Manifest
    offer: Offer
    node: Manifest | None = None
    machine_runs: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the claim, of its machine and of its node."""
        return str(self.claim["metadata"]["name"])


def choose(claim: Manifest, types: Iterable[InstanceType]) -> Offer:
    """Choose the cheapest machine on offer that a claim's requirements and requests allow."""
    wanted = _allowed(claim, INSTANCE_TYPE)
    gpus = int(_requests(claim).get(GPU, "0"))
    offered = sorted(types, key=lambda each: each.dollars_per_hour)
    fitting = [
        each for each in offered if each.gpus >= gpus and (wanted is None or each.name in wanted)
    ]
    if fitting:
        return Offer(instance_type=fitting[0])
    asked = "any instance type" if wanted is None else f"instance type {' or '.join(wanted)}"
    names = ", ".join(each.name for each in offered)
    return Offer(
        instance_type=None,
        refusal=f"insufficient capacity, no {asked} with {gpus} GPUs on offer; offered: {names}",
    )


def decide(view: View) -> Decision:
    """Return the next step for a claim."""
    metadata = view.claim["metadata"]
    held = FINALIZER in metadata.get("finalizers", [])
    if metadata.get("deletionTimestamp"):
        return Decision(step=Step.TERMINATE if held else Step.NOTHING)
    if not held:
        return Decision(step=Step.ADOPT)
    if not _is_true(view.claim, "Launched"):
        return _decide_launch(view)
    if not _is_true(view.claim, "Registered"):
        return _decide_registration(view)
    return _decide_initialization(view)


def _decide_launch(view: View) -> Decision:
    if view.offer.instance_type is None:
        reason, message = NO_CAPACITY, view.offer.refusal
        return Decision(step=Step.REFUSE, condition="Launched", reason=reason, message=message)
    return Decision(step=Step.LAUNCH, condition="Launched")


def _decide_registration(view: View) -> Decision:
    if not view.machine_runs:
        return Decision(step=Step.BOOT)
    if view.node is None:
        return _wait("Registered", "NodeNotFound", "Node not registered with cluster")
    return Decision(step=Step.REGISTER, condition="Registered")


def _decide_initialization(view: View) -> Decision:
    if view.node is None:
        return _unless_done(view, "NodeNotFound", "Node not registered with cluster")
    allocatable = view.node.get("status", {}).get("allocatable", {})
    gpus = view.offer.instance_type.gpus if view.offer.instance_type else 0
    if gpus and allocatable.get(GPU) in {None, "0"}:
        return Decision(step=Step.ADVERTISE)
    if _is_true(view.claim, "Initialized"):
        return Decision(step=Step.NOTHING)
    if not _is_true(view.node, "Ready"):
        return _wait("Initialized", "NodeNotReady", "Node status is NotReady")
    for taint in view.node.get("spec", {}).get("taints", []):
        if taint["key"] in EPHEMERAL_TAINTS:
            shown = f'KnownEphemeralTaint "{taint["key"]}:{taint["effect"]}" still exists'
            return _wait("Initialized", "KnownEphemeralTaintsExist", shown)
    return Decision(step=Step.INITIALIZE, condition="Initialized")


def conditions(claim: Manifest, changed: Mapping[str, tuple[str, str, str]], now: str) -> list[Any]:
    """
    Return a claim's conditions after a change, the sum `Ready` included.

    Args:
        claim: as it is.
        changed: condition -> (status, reason, message).
        now: RFC 3339; becomes the transition time of those whose status changes.
    """
    before = {each["type"]: each for each in claim.get("status", {}).get("conditions", [])}
    waiting = ("Unknown", "AwaitingReconciliation", "object is awaiting reconciliation")
    after = {
        kind: changed.get(kind) or _triple(before.get(kind)) or waiting
        for kind in dict.fromkeys((*STEPS, *(set(before) - {"Ready"}), *changed))
    }
    unmet = [f"{kind}={after[kind][0]}" for kind in STEPS if after[kind][0] != "True"]
    if not unmet:
        after["Ready"] = ("True", "Ready", "")
    elif any(each.endswith("=False") for each in unmet):
        after["Ready"] = ("False", "UnhealthyDependents", ", ".join(unmet))
    else:
        after["Ready"] = ("Unknown", "ReconcilingDependents", ", ".join(unmet))
    return [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "observedGeneration": claim["metadata"].get("generation", 1),
            "lastTransitionTime": _transition(before.get(kind), status, now),
        }
        for kind, (status, reason, message) in after.items()
    ]


def machine_labels(claim: Manifest, instance_type: InstanceType) -> dict[str, str]:
    """Return what the cloud says about a machine, under what the claim says about its node."""
    return {
        INSTANCE_TYPE: instance_type.name,
        "karpenter.sh/capacity-type": "on-demand",
        "topology.kubernetes.io/zone": ZONE,
    } | dict(claim["metadata"].get("labels", {}))


def registration_patch(claim: Manifest, node: Manifest) -> dict[str, Any]:
    """Return the change that makes a node the claim's: labels, annotations, taints."""
    wanted = [*claim["spec"].get("taints", []), *claim["spec"].get("startupTaints", [])]
    keys = {(taint["key"], taint["effect"]) for taint in wanted}
    kept = [
        taint
        for taint in node.get("spec", {}).get("taints", [])
        if taint["key"] != UNREGISTERED["key"] and (taint["key"], taint["effect"]) not in keys
    ]
    labels = dict(claim["metadata"].get("labels", {})) | {"karpenter.sh/registered": "true"}
    annotations = dict(claim["metadata"].get("annotations", {}))
    version = node["metadata"].get("resourceVersion")  # a list is replaced whole: only if unchanged
    metadata = {"labels": labels, "annotations": annotations, "resourceVersion": version}
    return {"metadata": metadata, "spec": {"taints": [*kept, *wanted]}}


def resources(instance_type: InstanceType) -> dict[str, str]:
    """Return what a machine of this type is said to hold."""
    return {
        "cpu": str(instance_type.cpus),
        "memory": f"{instance_type.memory_gib}Gi",
        "ephemeral-storage": f"{instance_type.disk_gib}Gi",
        "pods": str(instance_type.pods),
    } | ({GPU: str(instance_type.gpus)} if instance_type.gpus else {})


def _wait(condition: str, reason: str, message: str) -> Decision:
    return Decision(step=Step.WAIT, condition=condition, reason=reason, message=message)


def _unless_done(view: View, reason: str, message: str) -> Decision:
    if _is_true(view.claim, "Initialized"):
        return Decision(step=Step.NOTHING)
    return _wait("Initialized", reason, message)


def _is_true(manifest: Manifest, kind: str) -> bool:
    found = manifest.get("status", {}).get("conditions", [])
    return any(each["type"] == kind and each["status"] == "True" for each in found)


def _triple(condition: Manifest | None) -> tuple[str, str, str] | None:
    if condition is None:
        return None
    return condition["status"], condition.get("reason", ""), condition.get("message", "")


def _transition(before: Manifest | None, status: str, now: str) -> str:
    return str(before["lastTransitionTime"]) if before and before["status"] == status else now


def _allowed(claim: Manifest, key: str) -> list[str] | None:
    """Return the values that a claim allows for a label, or None where it does not say."""
    for requirement in claim["spec"].get("requirements", []):
        if requirement["key"] == key and requirement["operator"] == "In":
            return list(requirement["values"])
    return None


def _requests(claim: Manifest) -> dict[str, str]:
    return dict(claim["spec"].get("resources", {}).get("requests", {}))
