"""
Decide what a Workspace gets, from its own words, its preset and the administrator's settings alone.

A plan is made before anything is bought: how many nodes of which type, how many GPUs a pod takes,
whether the model fits them, which image runs with which arguments, and how long a pod may take to
finish its answers. It looks at no cluster, so the same manifest always gives the same plan, also
offline.

Invariant: a `Plan` that exists can be carried out; what cannot is a `PlanError` with a reason of
one word and a sentence that names field, value and remedy. Must not import snapshot, objects or
anything above them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from model_presets.preset import Preset

from workspace_operator.api import RESERVED_LABEL_PREFIX, RESERVED_LABELS, Workspace
from workspace_operator.instance_types import InstanceType, find
from workspace_operator.memory_fit import MemoryFit, fitting_types, gpus_in_use, memory_fit
from workspace_operator.settings import NodeProvisioner, Settings

RUNTIME_ANNOTATION = "kaito.sh/runtime"
BYPASS_ANNOTATION = "kaito.sh/bypass-resource-checks"
OFFERED_RUNTIME = "transformers"

MODEL_PORT = 5000

# The server measures what is left beside the weights, and refuses a context that it cannot hold.
SAFE_SHARE = 0.9

# An answer of this length may be under way when a pod is told to go.
DRAIN_TOKENS = 2048
# A decode step reads all weights once; a busy batch and the cache make it slower than the memory
# alone.
DRAIN_SLOWNESS = 2.0
DRAIN_SECONDS = range(30, 301)


class PlanError(Exception):
    """
    Tell that a Workspace is well written but cannot be carried out.

    Attributes:
        reason: One word for programs.
        message: Field, value and remedy in a sentence.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Keep the two parts."""
        super().__init__(message)
        self.reason = reason
        self.message = message


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
        candidates: The machines that may be bought, the smallest first; one if it was named.
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
    fit: MemoryFit
    disk_gib: int
    image: str
    server_arguments: tuple[str, ...]
    drain_seconds: int
    node_labels: Mapping[str, str]
    notes: tuple[str, ...] = ()


def plan(workspace: Workspace, preset: Preset, settings: Settings) -> Plan:
    """
    Decide what a Workspace gets.

    Raises:
        PlanError: The Workspace asks for something that is not offered, or that cannot fit.
    """
    refuse_what_is_not_offered(workspace)
    byo = settings.node_provisioner is NodeProvisioner.BYO
    asked = workspace.resource.instance_type
    machine = find(asked) if asked else None
    candidates: tuple[str, ...] = (asked,) if asked else ()
    if not (byo or asked):
        fitting = _fitting(preset, settings)
        candidates = tuple(each.name for each in fitting)
        machine = fitting[0] if fitting else None
    gpus = machine.gpu_count if machine else preset.gpu_count
    fit = memory_fit(preset, machine.gpu if machine else None, gpus, settings.cloud)
    if fit.fits is False and BYPASS_ANNOTATION not in workspace.annotations:
        raise PlanError("MemoryDoesNotFit", f"resource.instanceType {asked}: {fit.sentence}")
    drain_seconds = _drain_seconds(preset, machine)
    return Plan(
        preset=preset,
        provisioner=settings.node_provisioner,
        node_count=workspace.resource.count,
        gpus_per_node=gpus,
        instance_type=asked,
        candidates=() if byo else candidates,
        fit=fit,
        disk_gib=preset.disk_gib,
        image=_image(workspace, preset, settings),
        server_arguments=_server_arguments(preset, fit, drain_seconds),
        drain_seconds=drain_seconds,
        node_labels=_own_labels(workspace),
        notes=_notes(workspace, byo=byo),
    )


def refuse_what_is_not_offered(workspace: Workspace) -> None:
    """
    Refuse a Workspace that no preset could help; it may name none.

    Raises:
        PlanError: The Workspace asks for something that is not offered.
    """
    inference = workspace.inference
    if inference is None:
        raise PlanError(
            "TuningNotOffered",
            "tuning: this version serves models only; use inference.preset, "
            "or tune elsewhere and serve the result as a preset",
        )
    if inference.preset is None:
        raise PlanError(
            "TemplateNotOffered",
            "inference.template: this version serves presets only; use inference.preset, "
            "or a Deployment of your own",
        )
    runtime = workspace.annotations.get(RUNTIME_ANNOTATION, OFFERED_RUNTIME)
    if runtime != OFFERED_RUNTIME:
        raise PlanError(
            "RuntimeNotOffered",
            f"annotation {RUNTIME_ANNOTATION}: {runtime!r} is not offered here; "
            f"set it to {OFFERED_RUNTIME} or remove it",
        )
    if inference.adapters:
        raise PlanError(
            "AdaptersNotOffered",
            f"inference.adapters: {len(inference.adapters)} given, and this version loads none; "
            "merge them into the weights, or remove the field",
        )
    if workspace.resource.partition is not None:
        raise PlanError(
            "PartitionNotOffered",
            f"resource.partition: mode {workspace.resource.partition.mode} is not offered; "
            "remove it, and the model takes whole GPUs",
        )


def _fitting(preset: Preset, settings: Settings) -> tuple[InstanceType, ...]:
    """
    Return the machines to choose from where the user left it open.

    One kind of GPU only: the pod asks for the number of GPUs of the smallest machine, and the
    context that fits is worked out for it.
    """
    if preset.gpu_count == 0:
        return ()
    fitting = fitting_types(preset, settings.cloud)
    if not fitting:
        raise PlanError(
            "NoInstanceTypeFits",
            f"resource.instanceType: not given, and no machine known for cloud {settings.cloud} "
            f"holds {preset.name}; name one",
        )
    smallest = fitting[0]
    return tuple(
        each for each in fitting if (each.gpu, each.gpu_count) == (smallest.gpu, smallest.gpu_count)
    )


def _own_labels(workspace: Workspace) -> dict[str, str]:
    """Return the user's labels without those that an operator sets by itself."""
    return {
        key: value
        for key, value in sorted(workspace.resource.label_selector.match_labels.items())
        if key not in RESERVED_LABELS and not key.startswith(RESERVED_LABEL_PREFIX)
    }


def _image(workspace: Workspace, preset: Preset, settings: Settings) -> str:
    asked = workspace.inference.preset if workspace.inference else None
    options = asked.preset_options if asked else None
    return (options.image if options else None) or settings.image_for(preset.name)


def _server_arguments(preset: Preset, fit: MemoryFit, drain_seconds: int) -> tuple[str, ...]:
    arguments = (
        f"--preset={preset.name}",
        f"--port={MODEL_PORT}",
        f"--drain-seconds={drain_seconds}",
    )
    if preset.sliding_window or fit.kv_tokens is None:
        return arguments
    safe = int(fit.kv_tokens * SAFE_SHARE)
    if safe >= preset.context_length:
        return arguments
    return (*arguments, f"--max-model-len={safe}")


def _drain_seconds(preset: Preset, machine: InstanceType | None) -> int:
    """
    Return how long the longest answer that is under way takes.

    Mistral 7B on an A10: 2,048 tokens x 14.5 GB / 600 GB/s x 2 = 99 s; on an A100 31 s.
    """
    if machine is None:
        return DRAIN_SECONDS.start
    used = max(1, gpus_in_use(preset, machine.gpu_count))
    step = preset.weight_bytes / used / machine.gpu.bandwidth_bytes_per_second
    seconds = math.ceil(DRAIN_TOKENS * step * DRAIN_SLOWNESS)
    return min(max(seconds, DRAIN_SECONDS.start), DRAIN_SECONDS.stop - 1)


def _notes(workspace: Workspace, *, byo: bool) -> tuple[str, ...]:
    notes = []
    if workspace.inference and workspace.inference.config:
        notes.append(
            f"inference.config {workspace.inference.config} tunes vLLM and has no effect here"
        )
    if workspace.resource.preferred_nodes:
        notes.append(
            "resource.preferredNodes has no effect: choose nodes by resource.labelSelector"
        )
    if byo and workspace.resource.instance_type:
        notes.append("resource.instanceType buys nothing here: nodes are brought by you")
    return tuple(notes)
