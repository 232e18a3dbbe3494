"""
Decide what a Workspace gets, from its own words, its preset and the administrator's settings alone.

A plan is made before anything is bought: how many nodes of which type, how many GPUs a pod takes,
whether the model fits them, which image runs with which arguments, and how long a pod may take to
finish its answers. It looks at no cluster, so the same manifest always gives the same plan, also
offline. `hardware` has the half of it that is about nodes, `server` the half about what runs there.

Invariant: a `Plan` that exists can be carried out; what cannot is a `PlanError` with a reason of
one word and a sentence that names field, value and remedy. Must not import snapshot, objects or
anything above them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from model_presets.preset import Preset

from workspace_operator.api import Workspace
from workspace_operator.memory_fit import MemoryFit, memory_fit
from workspace_operator.plan.config import (
    DRAIN_SECONDS,
    MAX_MODEL_LEN,
    InferenceConfig,
    read_config,
)
from workspace_operator.plan.hardware import (
    BYPASS_ANNOTATION,
    TYPES_ANNOTATION,
    Hardware,
    hardware,
    own_labels,
)
from workspace_operator.plan.refusal import (
    OFFERED_RUNTIME,
    RUNTIME_ANNOTATION,
    PlanError,
    refuse_what_is_not_offered,
)
from workspace_operator.plan.server import (
    MODEL_PORT,
    drain_seconds,
    image,
    longest_context,
    server_arguments,
)
from workspace_operator.settings import NodeProvisioner, Settings

__all__ = [
    "BYPASS_ANNOTATION",
    "MODEL_PORT",
    "OFFERED_RUNTIME",
    "RUNTIME_ANNOTATION",
    "TYPES_ANNOTATION",
    "UNTUNED",
    "InferenceConfig",
    "Plan",
    "PlanError",
    "plan",
    "read_config",
    "refuse_what_is_not_offered",
]

UNTUNED = InferenceConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    Hold every decision about one Workspace.

    Attributes:
        preset: The model.
        provisioner: Who brings the nodes.
        node_count: Nodes, each with one replica of the model.
        gpus_per_node: GPUs that a pod is given; 0 for a model that runs on a CPU.
        instance_type: The machine asked for; none where the user left it open or brings nodes.
        candidates: The machines that may be bought, the best first; one if it was named.
        in_order: Whether they are tried one after the other, instead of Karpenter choosing.
        least_gpu_mib: Memory that each GPU has to have.
        fit: The memory arithmetic.
        disk_gib: Disk of a new node.
        image: What the pod runs.
        server_arguments: Flags of the server.
        drain_seconds: How long a pod may take to finish its answers.
        node_labels: The user's own labels, which nodes carry.
        notes: What the manifest asks for and this operator has no use for.
    """

    preset: Preset
    provisioner: NodeProvisioner
    node_count: int
    gpus_per_node: int
    instance_type: str | None
    candidates: tuple[str, ...]
    in_order: bool = False
    least_gpu_mib: int = 0
    fit: MemoryFit
    disk_gib: int
    image: str
    server_arguments: tuple[str, ...]
    drain_seconds: int
    node_labels: Mapping[str, str]
    notes: tuple[str, ...] = ()


def plan(
    workspace: Workspace,
    preset: Preset,
    settings: Settings,
    config: InferenceConfig = UNTUNED,
) -> Plan:
    """
    Decide what a Workspace gets.

    Args:
        workspace: What the user wrote.
        preset: The model.
        settings: The administrator's choices.
        config: What the user tunes, from `read_config`.

    Raises:
        PlanError: The Workspace asks for something that is not offered, or that cannot fit.
    """
    refuse_what_is_not_offered(workspace)
    byo = settings.node_provisioner is NodeProvisioner.BYO
    context = config.values.get(MAX_MODEL_LEN)
    machines = hardware(workspace, preset, settings, context)
    fit = memory_fit(preset, machines.gpu, machines.gpus, settings.cloud, context)
    if BYPASS_ANNOTATION not in workspace.annotations:
        _check_fit(workspace, preset, fit, config)
    drain = config.values.get(DRAIN_SECONDS, drain_seconds(preset, machines.gpu, machines.gpus))
    return Plan(
        preset=preset,
        provisioner=settings.node_provisioner,
        node_count=workspace.resource.count,
        gpus_per_node=machines.gpus,
        instance_type=workspace.resource.instance_type,
        candidates=machines.candidates,
        in_order=machines.in_order,
        least_gpu_mib=machines.least_gpu_mib,
        fit=fit,
        disk_gib=preset.disk_gib,
        image=image(workspace, preset, settings),
        server_arguments=server_arguments(preset, fit, drain, config),
        drain_seconds=drain,
        node_labels=own_labels(workspace),
        notes=(*config.notes, *_notes(workspace, machines, byo=byo)),
    )


def _check_fit(
    workspace: Workspace, preset: Preset, fit: MemoryFit, config: InferenceConfig
) -> None:
    """Refuse a model that does not fit, and a context that does not fit beside it."""
    longest = longest_context(preset, fit)
    context = config.values.get(MAX_MODEL_LEN)
    too_long = context is not None and longest is not None and context > longest
    if context is not None and (too_long or fit.fits is False):
        less = f"; or write at most {longest}" if longest else ""
        sentence = f"{config.where(MAX_MODEL_LEN)} does not fit: {fit.sentence}{less}"
        raise PlanError("ConfigDoesNotFit", sentence)
    if fit.fits is False:
        raise PlanError("MemoryDoesNotFit", f"{_where(workspace)}: {fit.sentence}")


def _where(workspace: Workspace) -> str:
    """Name the place that says which machine is wanted."""
    if TYPES_ANNOTATION in workspace.annotations:
        return f"annotation {TYPES_ANNOTATION} {workspace.annotations[TYPES_ANNOTATION]}"
    return f"resource.instanceType {workspace.resource.instance_type}"


def _notes(workspace: Workspace, machines: Hardware, *, byo: bool) -> tuple[str, ...]:
    notes = []
    if machines.left_out:
        notes.append(
            f"left out of the instance types, since they cannot hold the model: "
            f"{', '.join(machines.left_out)}"
        )
    if workspace.resource.preferred_nodes:
        notes.append(
            "resource.preferredNodes has no effect: choose nodes by resource.labelSelector"
        )
    for named, where in (
        (workspace.resource.instance_type, "resource.instanceType"),
        (workspace.annotations.get(TYPES_ANNOTATION), f"annotation {TYPES_ANNOTATION}"),
    ):
        if byo and named:
            notes.append(f"{where} buys nothing here: nodes are brought by you")
    return tuple(notes)
