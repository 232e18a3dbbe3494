"""
Describe the pod that serves a preset's model, in a shape that Pod Security "restricted" takes.

It runs as a plain user on a read-only root, holds no token of the cluster, and may write to three
places only: /tmp, its home (compiled kernels) and /dev/shm, each with a limit. Nothing in it may
depend on the operator being alive.

Probes. `/health` answers from the first second of the process on, so the startup probe asks every
second and only bounds the import of the libraries; `/ready` turns 200 when a token has been
generated, and gates the Service; liveness follows the engine, never the load.

Going away takes three steps: preStop lets the Service forget the pod, SIGTERM starts the drain, and
the grace period is longer than both.

Must not import the other kinds of `objects`, but for metadata and placement.
"""

from typing import Any

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
from workspace_operator.plan import MODEL_PORT, Plan
from workspace_operator.settings import Settings
from workspace_operator.snapshot import Manifest

# Restricted policies of some distributions refuse ids below 10,000: they may be users of the node.
USER_ID = 10001
HOME = "/home/model"

STARTUP_SECONDS = 600
PRE_STOP_SECONDS = 5
# What is left between the end of the drain and SIGKILL: the process's own way out.
EXIT_SECONDS = 10

# Python, torch and CUDA's host side, with room for the pages of weights on their way to the GPU.
HOST_MEMORY_GIB = 4
HOST_MEMORY_LIMIT_GIB = 8
# The same for a model on the CPU, beside the weights themselves, which are held in float32 there.
CPU_MEMORY_GIB = 1
CPU_MEMORY_LIMIT_GIB = 3
SHARED_MEMORY = "1Gi"
SCRATCH = "4Gi"
# Of the node's disk: twice the scratch and the logs. The image does not count.
DISK_REQUEST = {"ephemeral-storage": "1Gi"}
DISK_LIMIT = {"ephemeral-storage": "9Gi"}


def preset_pod(workspace: Workspace, plan: Plan, preset: Preset, settings: Settings) -> Manifest:
    """Return the pod template of a Workspace that names a preset."""
    options = _options(workspace)
    spec: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": PRE_STOP_SECONDS + plan.drain_seconds + EXIT_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(workspace, plan, preset, settings)],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": SCRATCH}},
            {"name": "home", "emptyDir": {"sizeLimit": SCRATCH}},
            {"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": SHARED_MEMORY}},
        ],
        "tolerations": TOLERATIONS,
    }
    terms = node_terms(workspace, plan)
    if terms:
        spec["affinity"] = {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": terms}]
                }
            }
        }
    if options.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    return {
        "metadata": {
            "labels": {
                WORKSPACE_LABEL: workspace.name,
                MANAGED_BY_LABEL: MANAGED_BY,
                NAME_LABEL: workspace.name,
            },
            "annotations": {CONFIG_HASH_ANNOTATION: digest(spec)},
        },
        "spec": spec,
    }


def _options(workspace: Workspace) -> PresetOptions:
    preset = workspace.inference.preset if workspace.inference else None
    return (preset.preset_options if preset else None) or PresetOptions()


def _container(workspace: Workspace, plan: Plan, preset: Preset, settings: Settings) -> Manifest:
    return {
        "name": workspace.name,
        "image": plan.image,
        "imagePullPolicy": str(settings.image_pull_policy),
        "args": list(plan.server_arguments),
        "ports": [{"name": "http", "containerPort": MODEL_PORT, "protocol": "TCP"}],
        "env": _environment(workspace),
        "resources": _resources(plan, preset),
        "startupProbe": _probe("/health", period=1, failures=STARTUP_SECONDS),
        "livenessProbe": _probe("/health", period=10, failures=3),
        "readinessProbe": _probe("/ready", period=2, failures=2),
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - an emptyDir of the pod's own
            {"name": "home", "mountPath": HOME},
            {"name": "dshm", "mountPath": "/dev/shm"},  # noqa: S108 - the same
        ],
    }


def _environment(workspace: Workspace) -> list[Manifest]:
    environment: list[Manifest] = [{"name": "HOME", "value": HOME}]
    secret = _options(workspace).model_access_secret
    if secret:
        # By reference only: the operator may read no Secret of the user.
        reference = {"name": secret, "key": "HF_TOKEN"}
        environment.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": reference}})
    return environment


def _resources(plan: Plan, preset: Preset) -> dict[str, Any]:
    """
    Return requests and limits.

    No limit on CPU: it would throttle the one thread that feeds the GPU. The weights of a model for
    GPUs pass through the page cache, which the kernel takes back under pressure: the request needs
    no room for them. A model that runs on a CPU asks for little, also where it is given a GPU.
    """
    gpus = {plan.gpu_resource: str(plan.gpus_per_node)} if plan.gpus_per_node else {}
    if preset.gpu_count:
        cpu, memory, limit = "2", HOST_MEMORY_GIB, _weights_gib(preset) + HOST_MEMORY_LIMIT_GIB
    else:
        weights = 2 * _weights_gib(preset)
        cpu, memory, limit = "250m", weights + CPU_MEMORY_GIB, weights + CPU_MEMORY_LIMIT_GIB
    return {
        "requests": {"cpu": cpu, "memory": f"{memory}Gi", **DISK_REQUEST, **gpus},
        "limits": {"memory": f"{limit}Gi", **DISK_LIMIT, **gpus},
    }


def _weights_gib(preset: Preset) -> int:
    """Return the weights' size, rounded down to GiB, since the memory beside them has room."""
    return preset.weight_bytes // GIB


def _probe(path: str, *, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": MODEL_PORT, "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
