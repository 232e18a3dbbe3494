"""
Decide what is bought or looked for: which machines come into question, and which labels they carry.

Where the user names no machine, the smallest that holds the model is the measure: what a pod takes
is worked out for it.

Must not import the other files of `plan` but the refusal.
"""

from dataclasses import dataclass

from model_presets.preset import Preset

from workspace_operator.api import RESERVED_LABEL_PREFIX, RESERVED_LABELS, Workspace
from workspace_operator.instance_types import Gpu, InstanceType, find
from workspace_operator.memory_fit import fitting_types
from workspace_operator.plan.refusal import PlanError
from workspace_operator.settings import NodeProvisioner, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """
    Hold what a node of the Workspace is.

    Attributes:
        candidates: The machines that may be bought, the smallest first; none where brought.
        gpu: The kind of GPU, where it is known.
        gpus: How many of them a pod is given.
    """

    candidates: tuple[str, ...]
    gpu: Gpu | None
    gpus: int


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
        PlanError: None is named and none fits.
    """
    byo = settings.node_provisioner is NodeProvisioner.BYO
    asked = workspace.resource.instance_type
    machine = find(asked) if asked else None
    candidates: tuple[str, ...] = (asked,) if asked else ()
    if not (byo or asked):
        fitting = _fitting(preset, settings, context)
        candidates = tuple(each.name for each in fitting)
        machine = fitting[0] if fitting else None
    return Hardware(
        candidates=() if byo else candidates,
        gpu=machine.gpu if machine else None,
        gpus=machine.gpu_count if machine else preset.gpu_count,
    )


def own_labels(workspace: Workspace) -> dict[str, str]:
    """Return the user's labels without those that an operator sets by itself."""
    return {
        key: value
        for key, value in sorted(workspace.resource.label_selector.match_labels.items())
        if key not in RESERVED_LABELS and not key.startswith(RESERVED_LABEL_PREFIX)
    }


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
