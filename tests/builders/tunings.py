"""Build Workspaces that tune, their plans and their Jobs, as `tests.builders` does the rest."""

from typing import Any

from model_presets.preset import Preset
from workspace_operator.api import Workspace, WorkspaceStatus
from workspace_operator.objects.tuning_job import tuning_job
from workspace_operator.plan import Plan
from workspace_operator.plan.tuning import plan_tuning
from workspace_operator.settings import Settings

from tests.builders import A100, MISTRAL_7B, OWNER, SETTINGS, Manifest, condition, workspace

DATA = "https://example.com/data.parquet"
VOLUME: Manifest = {"volumeSource": {"persistentVolumeClaim": {"claimName": "results"}}}


def tuning(
    status: WorkspaceStatus | None = None,
    *,
    instance_type: str | None = A100,
    annotations: dict[str, str] | None = None,
    **changed: Any,  # noqa: ANN401 - sections of a manifest
) -> Workspace:
    """Return a Workspace that tunes; further keywords replace fields of its tuning."""
    section: Manifest = {
        "preset": {"name": "mistral-7b-instruct"},
        "method": "lora",
        "input": {"urls": [DATA]},
        "output": VOLUME,
        **changed,
    }
    return workspace(
        status,
        instance_type=instance_type,
        annotations=annotations,
        inference=None,
        tuning=section,
    )


def config_map(text: str) -> Manifest:
    return {"metadata": {"name": "lora-params"}, "data": {"training_config.yaml": text}}


def tuning_plan(
    made: Workspace,
    settings: Settings = SETTINGS,
    preset: Preset = MISTRAL_7B,
    config: Manifest | None = None,
) -> Plan:
    return plan_tuning(made, preset, settings, config)


def job(made: Workspace, *conditions: str, message: str = "", **status: object) -> Manifest:
    """Return the Job of a Workspace as the API server gives it back."""
    assert made.tuning is not None
    plan = tuning_plan(made)
    manifest = tuning_job(made, made.tuning, plan, MISTRAL_7B, SETTINGS)
    metadata = {**manifest["metadata"], "uid": "uid-of-job", "namespace": OWNER.namespace}
    found = [condition(kind, message=message) for kind in conditions]
    return {**manifest, "metadata": metadata, "status": {"conditions": found, **status}}
