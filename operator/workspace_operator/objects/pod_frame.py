"""
Give every pod that this operator makes for a preset the same frame.

Pod Security "restricted" takes it: a plain user on a read-only root, no token of the cluster, and
three places to write to, each with a limit.

Must not import the other kinds of `objects`, but for metadata and placement.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from model_presets.preset import Preset

from workspace_operator.api import PresetOptions, Workspace
from workspace_operator.instance_types import GIB
from workspace_operator.objects.metadata import (
    CONFIG_HASH_ANNOTATION,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    NAME_LABEL,
    WORKSPACE_LABEL,
    digest,
)
from workspace_operator.objects.placement import TOLERATIONS, node_terms
from workspace_operator.plan import Plan
from workspace_operator.snapshot import Manifest

# Restricted policies of some distributions refuse ids below 10,000: they may be users of the node.
USER_ID = 10001
HOME = "/home/model"
SHARED_MEMORY = "1Gi"

SECURITY: Manifest = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
SCRATCH_MOUNTS: list[Manifest] = [
    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - an emptyDir of the pod's own
    {"name": "home", "mountPath": HOME},
    {"name": "dshm", "mountPath": "/dev/shm"},  # noqa: S108 - the same
]

# Python, torch and CUDA's host side, with room for the pages of weights on their way to the GPU.
HOST_MEMORY_GIB = 4
HOST_MEMORY_LIMIT_GIB = 8
# The same for a model on the CPU, beside the weights themselves, which are held in float32 there.
CPU_MEMORY_GIB = 1
CPU_MEMORY_LIMIT_GIB = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """
    Hold what a pod may take of its node's disk; the image does not count.

    Attributes:
        scratch: Limit of /tmp and of the home.
        limit_gib: Limit of everything together, logs included.
        request_gib: What the scheduler has to find free on the node.
    """

    scratch: str
    limit_gib: int
    request_gib: int = 1


def frame(
    workspace: Workspace, plan: Plan, disk: Disk, volumes: Iterable[Manifest], **spec: object
) -> Manifest:
    """
    Return a pod template.

    Args:
        workspace: The owner.
        plan: What was decided.
        disk: What it may write.
        volumes: What it has beside its scratch.
        spec: More fields of the pod, such as its containers.
    """
    whole: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": disk.scratch}},
            {"name": "home", "emptyDir": {"sizeLimit": disk.scratch}},
            {"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": SHARED_MEMORY}},
            *volumes,
        ],
        "tolerations": TOLERATIONS,
        **spec,
    }
    terms = node_terms(workspace, plan)
    if terms:
        whole["affinity"] = {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": terms}]
                }
            }
        }
    secrets = options_of(workspace).image_pull_secrets
    if secrets:
        whole["imagePullSecrets"] = [{"name": name} for name in secrets]
    return {
        "metadata": {
            "labels": {
                WORKSPACE_LABEL: workspace.name,
                MANAGED_BY_LABEL: MANAGED_BY,
                NAME_LABEL: workspace.name,
            },
            "annotations": {CONFIG_HASH_ANNOTATION: digest(whole)},
        },
        "spec": whole,
    }


def options_of(workspace: Workspace) -> PresetOptions:
    """Return the options of the Workspace's preset, be it served or tuned."""
    job = workspace.inference or workspace.tuning
    preset = job.preset if job else None
    return (preset.preset_options if preset else None) or PresetOptions()


def environment(workspace: Workspace) -> list[Manifest]:
    """Return the variables of every container that handles a model."""
    variables: list[Manifest] = [{"name": "HOME", "value": HOME}]
    secret = options_of(workspace).model_access_secret
    if secret:
        # By reference only: the operator may read no Secret of the user.
        reference = {"name": secret, "key": "HF_TOKEN"}
        variables.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": reference}})
    return variables


def resources(plan: Plan, preset: Preset, disk: Disk, more_gib: int = 0) -> Manifest:
    """
    Return requests and limits.

    No limit on CPU: it would throttle the one thread that feeds the GPU. The weights of a model for
    GPUs pass through the page cache, which the kernel takes back under pressure: the request needs
    no room for them. A model that runs on a CPU asks for little, also where it is given a GPU.

    Args:
        plan: What was decided.
        preset: The model.
        disk: What the pod may write.
        more_gib: Host memory beyond what serving takes.
    """
    gpus = {plan.gpu_resource: str(plan.gpus_per_node)} if plan.gpus_per_node else {}
    weights = preset.weight_bytes // GIB  # rounded down, since the memory beside it has room
    if preset.gpu_count:
        cpu, memory, limit = "2", HOST_MEMORY_GIB, weights + HOST_MEMORY_LIMIT_GIB
    else:
        whole = 2 * weights
        cpu, memory, limit = "250m", whole + CPU_MEMORY_GIB, whole + CPU_MEMORY_LIMIT_GIB
    return {
        "requests": {
            "cpu": cpu,
            "memory": f"{memory}Gi",
            "ephemeral-storage": f"{disk.request_gib}Gi",
            **gpus,
        },
        "limits": {
            "memory": f"{limit + more_gib}Gi",
            "ephemeral-storage": f"{disk.limit_gib}Gi",
            **gpus,
        },
    }
