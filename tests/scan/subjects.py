"""
Say what is reviewed: the chart in three shapes, and what the operator makes of a Workspace.

The chart comes with the values of a release, because a review of tags says nothing about what runs.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from model_presets.preset import Preset
from workspace_operator.objects.deployment import deployment, pod_template
from workspace_operator.objects.network_policy import network_policy
from workspace_operator.objects.service import service
from workspace_operator.settings import Settings

from tests.builders import BYO, MISTRAL_7B, SETTINGS, TINY, planned, workspace
from tests.installation import RELEASE_VALUES, render_chart

Manifest = dict[str, Any]

DIGEST = f"sha256:{'0' * 64}"
EVERYTHING: Mapping[str, object] = {
    "nodeProvisioner": "byo",
    "presets": {"mine.yaml": "name: mine\n"},
    "networkPolicy__metricsFrom": [{"namespaceSelector": {}}],
    "networkPolicy__apiServerRanges": ["10.0.0.1/32"],
    "metrics__dashboard__enabled": True,
}


def subjects() -> dict[str, list[Manifest]]:
    """Return the manifests to review, by a name for people."""
    return {
        "chart": render_chart(files=[RELEASE_VALUES]),
        "chart, everything on": render_chart(EVERYTHING, files=[RELEASE_VALUES]),
        "chart, one pod": render_chart({"replicaCount": 1}, files=[RELEASE_VALUES]),
        "model on a GPU": _model(MISTRAL_7B, SETTINGS),
        "model on a CPU": _model(TINY, BYO),
    }


def _model(preset: Preset, settings: Settings) -> list[Manifest]:
    settings = replace(settings, preset_digests={preset.name: DIGEST})
    made = workspace(preset=preset.name)
    plan = planned(made, settings, preset)
    return [
        deployment(made, plan, pod_template(made, plan, settings)),
        service(made, plan),
        network_policy(made, plan, settings),
    ]
