"""
Keep as many model pods as the Workspace has nodes.

An update stops a pod before it starts the next, or the other way round where a GPU is free for that
(`surge`). The whole template is ours, so every change of it rolls the pods.

Must not import the other kinds of `objects`, but for the pods, surge and metadata.
"""

from workspace_operator.api import Workspace
from workspace_operator.objects.custom_pod import custom_pod
from workspace_operator.objects.metadata import WORKSPACE_LABEL, child_metadata, identity_of
from workspace_operator.objects.pod import preset_pod
from workspace_operator.objects.surge import STOP_FIRST
from workspace_operator.plan import Plan
from workspace_operator.settings import Settings
from workspace_operator.snapshot import Manifest

# A start pulls an image of many gigabytes and loads the weights.
PROGRESS_DEADLINE_SECONDS = 3600
# Enough that the last revision which served is there after a few hasty edits.
KEPT_REVISIONS = 10


def pod_template(workspace: Workspace, plan: Plan, settings: Settings) -> Manifest:
    """Return the pod template of a Workspace's Deployment."""
    if plan.preset is None:
        return custom_pod(workspace, plan)
    return preset_pod(workspace, plan, plan.preset, settings)


def deployment(
    workspace: Workspace,
    plan: Plan,
    template: Manifest,
    replicas: int | None = None,
    strategy: Manifest = STOP_FIRST,
) -> Manifest:
    """
    Return the Deployment of a Workspace.

    Args:
        workspace: Its owner.
        plan: What was decided.
        template: What a pod is made from.
        replicas: How many pods there are to be now; as many as nodes, where nothing is said.
        strategy: How one pod follows the other.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": child_metadata(identity_of(workspace), workspace.name),
        "spec": {
            "replicas": plan.node_count if replicas is None else replicas,
            "revisionHistoryLimit": KEPT_REVISIONS,
            "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
            "selector": {"matchLabels": {WORKSPACE_LABEL: workspace.name}},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": strategy,
            },
            "template": template,
        },
    }
