"""
Plan a tuning as a whole: the same decisions as for a model to serve, from other figures.

Must not import snapshot, objects or anything above them.
"""

from collections.abc import Mapping
from typing import Any

from model_presets.preset import Preset

from workspace_operator.api import Workspace
from workspace_operator.plan import Plan, PlanError
from workspace_operator.plan.hardware import BYPASS_ANNOTATION, doubts, own_labels
from workspace_operator.plan.notes import notes_of
from workspace_operator.plan.options import price_per_hour
from workspace_operator.plan.server import MODEL_PORT
from workspace_operator.plan.training import (
    read_training,
    training_arguments,
    training_hardware,
    training_image,
)
from workspace_operator.settings import Settings
from workspace_operator.tuning_fit import tuning_fit

# Beside the image: the data, what is made of it, results with two checkpoints.
TUNING_DISK_GIB = 60
# A pod that is told to go has its last checkpoint already.
GRACE_SECONDS = 30


def plan_tuning(
    workspace: Workspace,
    preset: Preset,
    settings: Settings,
    config_map: Mapping[str, Any] | None,
) -> Plan:
    """
    Decide what a tuning gets.

    Args:
        workspace: What the user wrote.
        preset: The model to tune.
        settings: The administrator's choices.
        config_map: The ConfigMap that `tuning.config` names; None where there is none.

    Raises:
        PlanError: It asks for something that is not offered, or that cannot fit.
    """
    tuning = workspace.tuning
    if tuning is None:
        raise PlanError("PlanRefused", "tuning: not given; add it")
    training, config = read_training(workspace, tuning, preset, config_map)
    machines = training_hardware(workspace, preset, training.recipe, settings)
    fit = tuning_fit(preset, training.recipe, machines.gpu, machines.gpus, settings.cloud)
    if fit.fits is False and BYPASS_ANNOTATION not in workspace.annotations:
        raise PlanError(
            "MemoryDoesNotFit",
            f"resource.instanceType {machines.candidates[0]}: {fit.sentence}. Nothing was bought"
            if machines.candidates
            else fit.sentence,
        )
    return Plan(
        preset=preset,
        provisioner=settings.node_provisioner,
        node_count=1,
        gpus_per_node=machines.gpus,
        instance_type=workspace.resource.instance_type,
        candidates=machines.candidates,
        in_order=machines.in_order,
        least_gpu_mib=machines.least_gpu_mib,
        fit=fit,
        disk_gib=preset.disk_gib + TUNING_DISK_GIB,
        image=training_image(tuning, preset, settings),
        server_arguments=training_arguments(preset, training, tuning, settings),
        drain_seconds=GRACE_SECONDS,
        ports=(MODEL_PORT,),
        node_labels=own_labels(workspace),
        notes=(*config.notes, *notes_of(workspace, machines.left_out, settings)),
        doubts=doubts(workspace, settings),
        price_per_hour=price_per_hour(machines.candidates, 1, settings),
        expected_minutes=settings.figures.expected_minutes,
        training=training,
    )
