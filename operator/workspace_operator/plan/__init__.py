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
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from model_presets.preset import Preset

from workspace_operator.api import Workspace
from workspace_operator.api.annotations import (
    PLAN_ANNOTATION,
    PLAN_ONLY,
    TYPES_ANNOTATION,
)
from workspace_operator.api.weights import IN_THE_IMAGE, WeightsSource, weights_source
from workspace_operator.instance_types import find
from workspace_operator.memory_fit import MemoryFit, memory_fit, unknown_fit
from workspace_operator.plan.config import (
    DRAIN_SECONDS,
    MAX_MODEL_LEN,
    InferenceConfig,
    read_config,
)
from workspace_operator.plan.fit import check_fit
from workspace_operator.plan.hardware import (
    BYPASS_ANNOTATION,
    asked_types,
    doubts,
    hardware,
    own_labels,
)
from workspace_operator.plan.notes import notes_of
from workspace_operator.plan.options import Option, options, price_per_hour
from workspace_operator.plan.partition import share
from workspace_operator.plan.refusal import (
    OFFERED_RUNTIME,
    RUNTIME_ANNOTATION,
    PlanError,
    refuse_what_is_not_offered,
)
from workspace_operator.plan.server import (
    MODEL_PORT,
    adapter_arguments,
    drain_seconds,
    image,
    server_arguments,
)
from workspace_operator.plan.template import (
    GPU_RESOURCE,
    asked_gpus,
    declared_ports,
    first_image,
    served_port,
)
from workspace_operator.plan.training import Training
from workspace_operator.plan.weights import node_disk_gib, weights_arguments
from workspace_operator.settings import Cloud, NodeProvisioner, Settings

__all__ = [
    "BYPASS_ANNOTATION",
    "MODEL_PORT",
    "OFFERED_RUNTIME",
    "RUNTIME_ANNOTATION",
    "TYPES_ANNOTATION",
    "UNTUNED",
    "InferenceConfig",
    "Option",
    "Plan",
    "PlanError",
    "Training",
    "plan",
    "plan_only",
    "plan_template",
    "ports_of",
    "read_config",
    "refuse_what_is_not_offered",
]

UNTUNED = InferenceConfig()

# Disk for a template, whose image nobody knows. Source for KAITO's node class: kaito-project/kaito,
# pkg/utils/nodeclaim/nodeclaim.go at v0.12.0. Upstream Karpenter buys a machine that has the disk.
TEMPLATE_DISK_GIB = 100
KAITO_TEMPLATE_DISK_GIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    Hold every decision about one Workspace.

    Attributes:
        preset: The model; none where the user brings a pod template.
        provisioner: Who brings the nodes.
        node_count: Nodes, each with one replica of the model.
        gpus_per_node: GPUs that a pod is given; 0 for a model that runs on a CPU.
        gpu_resource: The name by which a node shows them, and a pod asks for them.
        instance_type: The machine asked for; none where the user left it open or brings nodes.
        candidates: The machines that may be bought, the best first; one if it was named.
        in_order: Whether they are tried one after the other, instead of Karpenter choosing.
        least_gpu_mib: Memory that each GPU has to have.
        fit: The memory arithmetic.
        disk_gib: Disk of a new node.
        image: What the pod runs.
        server_arguments: Flags of the server.
        drain_seconds: How long a pod may take to finish its answers.
        ports: Where the pod answers; the Service leads to the first.
        node_labels: The user's own labels, which nodes carry.
        notes: What the manifest asks for and this operator has no use for.
        doubts: Why a machine that was named may never come; a part of the notes.
        price_per_hour: What all nodes cost in an hour, where the administrator told prices.
        options: The machines to choose from; for a user who wants a plan only.
        expected_minutes: How long phases take by the administrator's word.
        training: What is to be trained; none where a model is served.
        weights: Where the model's weights come from.
    """

    preset: Preset | None
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
    doubts: tuple[str, ...] = ()
    gpu_resource: str = GPU_RESOURCE
    ports: tuple[int, ...] = (MODEL_PORT,)
    price_per_hour: str | None = None
    options: tuple[Option, ...] = ()
    expected_minutes: Mapping[str, Decimal] = field(default_factory=dict)
    training: Training | None = None
    weights: WeightsSource = IN_THE_IMAGE


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
    part = share(workspace, settings)
    machines = hardware(workspace, preset, settings, context)
    if part is not None:
        machines = replace(machines, gpu=part.gpu, gpus=part.count)
    adapters = len(workspace.inference.adapters) if workspace.inference else 0
    fit = memory_fit(
        preset, machines.gpu, machines.gpus, settings.cloud, context, adapters=adapters
    )
    if BYPASS_ANNOTATION not in workspace.annotations:
        check_fit(workspace, preset, fit, config)
    weights = weights_source(workspace.annotations)
    drain = config.values.get(DRAIN_SECONDS, drain_seconds(preset, machines.gpu, machines.gpus))
    return Plan(
        preset=preset,
        provisioner=settings.node_provisioner,
        node_count=workspace.resource.count,
        gpus_per_node=machines.gpus,
        gpu_resource=part.resource if part else GPU_RESOURCE,
        instance_type=workspace.resource.instance_type,
        candidates=machines.candidates,
        in_order=machines.in_order,
        least_gpu_mib=machines.least_gpu_mib,
        fit=fit,
        disk_gib=preset.disk_gib + node_disk_gib(preset, weights),
        image=image(workspace, preset, settings),
        server_arguments=(
            *server_arguments(preset, fit, drain, config),
            *adapter_arguments(workspace, config),
            *weights_arguments(weights),
        ),
        drain_seconds=drain,
        node_labels=own_labels(workspace),
        notes=(*config.notes, *notes_of(workspace, machines.left_out, settings)),
        doubts=doubts(workspace, settings),
        price_per_hour=price_per_hour(machines.candidates, workspace.resource.count, settings),
        options=options(workspace, preset, settings, context)
        if plan_only(workspace) and not byo
        else (),
        expected_minutes=settings.figures.expected_minutes,
        weights=weights,
    )


def plan_only(workspace: Workspace) -> bool:
    """Say whether the user wants to see the plan, and nothing made."""
    return workspace.annotations.get(PLAN_ANNOTATION) == PLAN_ONLY


def plan_template(workspace: Workspace, settings: Settings) -> Plan:
    """
    Decide what a Workspace gets that brings a pod template of its own.

    Raises:
        PlanError: It asks for something that is not offered, or does not say what to buy.
    """
    refuse_what_is_not_offered(workspace)
    inference = workspace.inference
    template = (inference.template if inference else None) or {}
    byo = settings.node_provisioner is NodeProvisioner.BYO
    listed = asked_types(workspace)
    if not (byo or listed):
        raise PlanError(
            "InstanceTypeNeeded",
            "resource.instanceType: not given, and nobody knows how much GPU memory "
            "inference.template needs; name the machine to buy",
        )
    counts = [machine.gpu_count for machine in map(find, listed) if machine is not None]
    part = share(workspace, settings)
    default = (part.resource, part.count) if part else (GPU_RESOURCE, min(counts, default=1))
    resource, gpus = asked_gpus(template) or default
    kaito = settings.cloud is Cloud.AZURE
    notes = [
        f"inference.{name} has no effect on inference.template"
        for name in ("config", "adapters")
        if inference and getattr(inference, name)
    ]
    return Plan(
        preset=None,
        provisioner=settings.node_provisioner,
        node_count=workspace.resource.count,
        gpus_per_node=gpus,
        gpu_resource=resource,
        instance_type=workspace.resource.instance_type,
        candidates=() if byo else listed,
        in_order=len(listed) > 1,
        fit=unknown_fit(),
        disk_gib=KAITO_TEMPLATE_DISK_GIB if kaito else TEMPLATE_DISK_GIB,
        image=first_image(template),
        server_arguments=(),
        drain_seconds=0,
        ports=ports_of(template),
        node_labels=own_labels(workspace),
        notes=(*notes, *notes_of(workspace, (), settings)),
        doubts=doubts(workspace, settings),
    )


def ports_of(template: Mapping[str, Any]) -> tuple[int, ...]:
    """Return where a pod of a template answers; the Service leads to the first."""
    return tuple(dict.fromkeys((served_port(template, MODEL_PORT), *declared_ports(template))))
