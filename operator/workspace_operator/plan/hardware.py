"""
Decide what is bought or looked for: which machines come into question, and which labels they carry.

The user names one machine, or several in the order of preference (an annotation), or none. Where
none is named, Karpenter chooses among all that hold the model with the same kind of GPU. Where
several are, they are tried one after the other as the cloud refuses them; the pod must be able to
run on each, so what it takes is worked out for the smallest.

Must not import the other files of `plan` but the refusal.
"""

import re
from dataclasses import dataclass, replace

from model_presets.preset import Preset

from workspace_operator.api import RESERVED_LABEL_PREFIX, RESERVED_LABELS, Workspace
from workspace_operator.api.annotations import (
    MOST_TYPES,
    TYPE_NAME,
    TYPES_ANNOTATION,
)
from workspace_operator.instance_types import Gpu, InstanceType, doubt, find
from workspace_operator.memory_fit import fitting_types, gpus_in_use, holds, needed_bytes
from workspace_operator.plan.refusal import PlanError
from workspace_operator.settings import NodeProvisioner, Settings

BYPASS_ANNOTATION = "kaito.sh/bypass-resource-checks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """
    Hold what a node of the Workspace is.

    Attributes:
        candidates: The machines that may be bought, the best first; none where brought.
        in_order: Whether they are tried one after the other, instead of Karpenter choosing.
        left_out: Machines that were listed and cannot hold the model.
        gpu: The kind of GPU, where it is known; of several kinds the least of each figure.
        gpus: How many of them a pod is given.
        least_gpu_mib: Memory that each of them has to have.
    """

    candidates: tuple[str, ...]
    in_order: bool = False
    left_out: tuple[str, ...] = ()
    gpu: Gpu | None
    gpus: int
    least_gpu_mib: int


def hardware(
    workspace: Workspace, preset: Preset, settings: Settings, context: int | None = None
) -> Hardware:
    """
    Decide which machines come into question.

    Args:
        workspace: What the user wrote.
        preset: The model.
        settings: The administrator's choices.
        context: Tokens of one request that the user insists on.

    Raises:
        PlanError: None is named and none fits, or the list cannot be read.
    """
    listed = asked_types(workspace)
    if settings.node_provisioner is NodeProvisioner.BYO:
        machine = find(listed[0]) if listed else None
        return _hardware(preset, context, (), (machine,))
    if not listed:
        fitting = _fitting(preset, settings, context)
        names = tuple(each.name for each in fitting)
        return _hardware(preset, context, names, fitting[:1] or (None,))
    bypassed = BYPASS_ANNOTATION in workspace.annotations
    fits = tuple(each for each in listed if bypassed or _may_hold(preset, context, each))
    kept = fits or listed[:1]  # where none fits, the plan is refused for the first
    machines = tuple(find(each) for each in kept)
    left_out = tuple(each for each in listed if each not in kept)
    found = _hardware(preset, context, kept, machines)
    return replace(found, in_order=len(kept) > 1, left_out=left_out)


def asked_types(workspace: Workspace) -> tuple[str, ...]:
    """
    Return the machines that the user names, the best first and each once.

    Raises:
        PlanError: The annotation is not a list of names.
    """
    value = workspace.annotations.get(TYPES_ANNOTATION)
    first = workspace.resource.instance_type
    if value is None:
        return (first,) if first else ()
    names = [name.strip() for name in value.split(",")]
    for name in names:
        if not re.fullmatch(TYPE_NAME, name):
            raise PlanError(
                "InvalidAnnotation",
                f"annotation {TYPES_ANNOTATION}: {name!r} is not the name of an instance type; "
                "write names with commas between them, the best first",
            )
    if len(names) > MOST_TYPES:
        raise PlanError(
            "InvalidAnnotation",
            f"annotation {TYPES_ANNOTATION}: {len(names)} names; use at most {MOST_TYPES}",
        )
    return tuple(dict.fromkeys([*([first] if first else []), *names]))


def doubts(workspace: Workspace, settings: Settings) -> tuple[str, ...]:
    """Say of each machine that the user names why it may never come, where that is known."""
    if settings.node_provisioner is NodeProvisioner.BYO:
        return ()
    cloud = None if settings.node_class_group else settings.cloud  # a node class of somebody's own
    return tuple(said for name in asked_types(workspace) if (said := doubt(name, cloud)))


def own_labels(workspace: Workspace) -> dict[str, str]:
    """Return the user's labels without those that an operator sets by itself."""
    return {
        key: value
        for key, value in sorted(workspace.resource.label_selector.match_labels.items())
        if key not in RESERVED_LABELS and not key.startswith(RESERVED_LABEL_PREFIX)
    }


def _may_hold(preset: Preset, context: int | None, name: str) -> bool:
    """Say whether a machine holds the model, or nothing is known about it."""
    machine = find(name)
    return machine is None or holds(preset, machine, context)


def _hardware(
    preset: Preset,
    context: int | None,
    candidates: tuple[str, ...],
    machines: tuple[InstanceType | None, ...],
) -> Hardware:
    """Describe what a pod finds on each of these machines; None is one that is not known."""
    known = [machine for machine in machines if machine is not None]
    counts = [machine.gpu_count for machine in known]
    gpus = min(counts if len(known) == len(machines) else [*counts, preset.gpu_count])
    used = max(1, gpus_in_use(preset, gpus))
    return Hardware(
        candidates=candidates,
        gpu=_least([machine.gpu for machine in known]),
        gpus=gpus,
        least_gpu_mib=-(-needed_bytes(preset, used, context) // used // 1024**2),
    )


def _least(gpus: list[Gpu]) -> Gpu | None:
    if not gpus:
        return None
    speeds = [gpu.bandwidth_bytes_per_second for gpu in gpus]
    return replace(
        min(gpus, key=lambda gpu: gpu.usable_bytes),
        bandwidth_bytes_per_second=min(speeds),
        bfloat16=all(gpu.bfloat16 for gpu in gpus),
    )


def _fitting(preset: Preset, settings: Settings, context: int | None) -> tuple[InstanceType, ...]:
    """
    Return the machines to choose from where the user left it open.

    One kind of GPU only: the pod asks for the number of GPUs of the smallest machine, and the
    context that fits is worked out for it.
    """
    if preset.gpu_count == 0:
        return ()
    fitting = fitting_types(preset, settings.cloud, context)
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
