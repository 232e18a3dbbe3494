"""
Keep as many model pods as the Workspace has nodes.

An update stops a pod before it starts the next (maxSurge 0): the second GPU that a surge needs is
not there by default. The whole template is ours, so every change of it rolls the pods.

Must not import the other kinds of `objects`, but for the pods and metadata.
"""

from workspace_operator.api import Workspace
from workspace_operator.objects.custom_pod import custom_pod
from workspace_operator.objects.metadata import WORKSPACE_LABEL, child_metadata, identity_of
from workspace_operator.objects.pod import preset_pod
from workspace_operator.plan import Plan
from workspace_operator.settings import Settings
from workspace_operator.snapshot import Manifest

# A start pulls an image of many gigabytes and loads the weights.
PROGRESS_DEADLINE_SECONDS = 3600
KEPT_REVISIONS = 3


def pod_template(workspace: Workspace, plan: Plan, settings: Settings) -> Manifest:
    """Return the pod template of a Workspace's Deployment."""
    if plan.preset is None:
        return custom_pod(workspace, plan)
    return preset_pod(workspace, plan, plan.preset, settings)


def deployment(workspace: Workspace, plan: Plan, settings: Settings) -> Manifest:
    """Return the Deployment of a Workspace."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": child_metadata(identity_of(workspace), workspace.name),
        "spec": {
            "replicas": plan.node_count,
            "revisionHistoryLimit": KEPT_REVISIONS,
            "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
            "selector": {"matchLabels": {WORKSPACE_LABEL: workspace.name}},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
            },
            "template": pod_template(workspace, plan, settings),
        },
    }
