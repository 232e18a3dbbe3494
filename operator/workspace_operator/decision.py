"""
Decide what a Workspace gets, whichever kind it is: a model to serve, a pod template, or a tuning.

Must not read the cluster: the one ConfigMap that a Workspace may name comes as an argument.
"""

from model_presets.catalog import Catalog, UnknownPreset

from workspace_operator.api import Workspace
from workspace_operator.cluster import Manifest
from workspace_operator.plan import (
    UNTUNED,
    PlanError,
    plan,
    plan_template,
    read_config,
    refuse_what_is_not_offered,
)
from workspace_operator.plan.tuning import plan_tuning
from workspace_operator.settings import Settings
from workspace_operator.status import Outcome


def decide(
    workspace: Workspace, config_map: Manifest | None, catalog: Catalog, settings: Settings
) -> Outcome:
    """Plan, or say why there is no plan."""
    try:
        refuse_what_is_not_offered(workspace)
        if workspace.inference and workspace.inference.template is not None:
            return plan_template(workspace, settings)
        preset = catalog.get(_preset_name(workspace))
        if workspace.tuning is not None:
            return plan_tuning(workspace, preset, settings, config_map)
        name = workspace.inference.config if workspace.inference else None
        config = read_config(name, workspace.namespace, config_map, preset) if name else UNTUNED
        return plan(workspace, preset, settings, config)
    except (PlanError, UnknownPreset) as problem:
        return problem


def _preset_name(workspace: Workspace) -> str:
    job = workspace.inference or workspace.tuning
    preset = job.preset if job else None
    return preset.name if preset else ""
