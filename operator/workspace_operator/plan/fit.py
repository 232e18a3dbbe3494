"""
Refuse what does not fit the memory, with the place in the manifest that can be changed.

Must not import the other files of `plan` but config, hardware, partition, refusal and server.
"""

import math

from model_presets.preset import Preset

from workspace_operator.api import Workspace
from workspace_operator.api.annotations import TYPES_ANNOTATION
from workspace_operator.instance_types import GIB
from workspace_operator.memory_fit import MemoryFit, needed_bytes
from workspace_operator.plan.config import MAX_MODEL_LEN, InferenceConfig
from workspace_operator.plan.partition import USABLE_SHARE
from workspace_operator.plan.refusal import PlanError
from workspace_operator.plan.server import longest_context


def check_fit(
    workspace: Workspace, preset: Preset, fit: MemoryFit, config: InferenceConfig
) -> None:
    """
    Refuse a model that does not fit, and a context that does not fit beside it.

    Raises:
        PlanError: It does not fit.
    """
    partition = workspace.resource.partition
    if partition is not None and (partition.count or 1) < preset.gpu_count:
        raise PlanError(
            "MemoryDoesNotFit",
            f"{_where(workspace)}: {preset.name} is spread over {preset.gpu_count} GPUs; "
            f"set resource.partition to mode accelerator and count {preset.gpu_count}",
        )
    longest = longest_context(preset, fit)
    context = config.values.get(MAX_MODEL_LEN)
    too_long = context is not None and longest is not None and context > longest
    if context is not None and (too_long or fit.fits is False):
        less = f"; or write at most {longest}" if longest else ""
        sentence = f"{config.where(MAX_MODEL_LEN)} does not fit: {fit.sentence}{less}"
        raise PlanError("ConfigDoesNotFit", sentence)
    if fit.fits is False and partition is not None:
        sum_ = fit.sentence.partition("; use ")[0]
        needed = needed_bytes(preset, 1, context) / USABLE_SHARE
        sentence = (
            f"{_where(workspace)}: {sum_}; use a slice of {math.ceil(needed / GIB)} GB or more"
        )
        raise PlanError("MemoryDoesNotFit", f"{sentence}. {_remedy(workspace)}")
    if fit.fits is False:
        raise PlanError(
            "MemoryDoesNotFit", f"{_where(workspace)}: {fit.sentence}. {_remedy(workspace)}"
        )


def _where(workspace: Workspace) -> str:
    """Name the place that says which machine is wanted."""
    partition = workspace.resource.partition
    if partition is not None:
        share = f"profile {partition.profile}" if partition.profile else f"count {partition.count}"
        return f"resource.partition.{share}"
    if TYPES_ANNOTATION in workspace.annotations:
        return f"annotation {TYPES_ANNOTATION} {workspace.annotations[TYPES_ANNOTATION]}"
    return f"resource.instanceType {workspace.resource.instance_type}"


def _remedy(workspace: Workspace) -> str:
    """Say how a machine that does not do is replaced by another."""
    if TYPES_ANNOTATION in workspace.annotations:
        return "Nothing was bought; correct the annotation"
    if workspace.resource.partition is not None:
        return "The partition cannot be changed: delete this Workspace and apply one with another"
    return (
        "Nothing was bought; the type cannot be changed, so delete this Workspace and apply one "
        "with another type"
    )
