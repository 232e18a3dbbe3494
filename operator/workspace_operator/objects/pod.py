"""
Describe the pod that serves a preset's model.

It stands in the frame of every pod of ours (`pod_frame`). Nothing in it may depend on the operator
being alive. Adapters lie in /mnt/adapter, one folder each: a volume of the user's, or an image that
an init container has unpacked before the server starts.

Probes. `/health` answers from the first second of the process on, so the startup probe asks every
second and only bounds the import of the libraries; `/ready` turns 200 when a token has been
generated, and gates the Service; liveness follows the engine, never the load.

Going away takes three steps: preStop lets the Service forget the pod, SIGTERM starts the drain, and
the grace period is longer than both.

Must not import the other kinds of `objects`, but for metadata, placement, the frame, data and
weights.
"""

from model_presets.preset import Preset

from workspace_operator.api import Workspace
from workspace_operator.memory_fit import MOST_ADAPTER_GIB
from workspace_operator.objects.data import Supply, supply, together
from workspace_operator.objects.pod_frame import (
    HOME,
    SCRATCH_MOUNTS,
    SECURITY,
    USER_ID,
    Disk,
    environment,
    frame,
    resources,
)
from workspace_operator.objects.weights import weights_supply
from workspace_operator.plan import MODEL_PORT, Plan
from workspace_operator.plan.server import ADAPTER_FOLDER
from workspace_operator.plan.weights import fetched_gib
from workspace_operator.settings import Settings
from workspace_operator.snapshot import Manifest

__all__ = ["HOME", "USER_ID", "preset_pod"]

STARTUP_SECONDS = 600
PRE_STOP_SECONDS = 5
# What is left between the end of the drain and SIGKILL: the process's own way out.
EXIT_SECONDS = 10

SCRATCH = "4Gi"
# Twice the scratch and the logs.
DISK_LIMIT_GIB = 9
# Rank 64 on every matrix of Mistral 7B is 0.7 GB in float32.


def preset_pod(workspace: Workspace, plan: Plan, preset: Preset, settings: Settings) -> Manifest:
    """Return the pod template of a Workspace that names a preset."""
    adapters = _adapters(workspace, plan, settings)
    fetched = MOST_ADAPTER_GIB * len(adapters.init_containers)
    weights = fetched_gib(preset, plan.weights)
    disk = Disk(
        scratch=SCRATCH, limit_gib=DISK_LIMIT_GIB + fetched + weights, request_gib=1 + weights
    )
    data = together((weights_supply(workspace, plan, preset, settings), adapters))
    spec: Manifest = {
        "terminationGracePeriodSeconds": PRE_STOP_SECONDS + plan.drain_seconds + EXIT_SECONDS,
        "containers": [_container(workspace, plan, preset, settings, disk, data)],
    }
    if data.init_containers:
        spec["initContainers"] = list(data.init_containers)
    return frame(workspace, plan, disk, data.volumes, **spec)


def _adapters(workspace: Workspace, plan: Plan, settings: Settings) -> Supply:
    sources = (each.source for each in workspace.inference.adapters) if workspace.inference else ()
    return together(
        supply(
            source,
            f"adapter-{number}",
            f"{ADAPTER_FOLDER}/{source.name}",
            plan,
            settings,
            size_gib=MOST_ADAPTER_GIB,
        )
        for number, source in enumerate(sources)
        if source is not None
    )


def _container(
    workspace: Workspace,
    plan: Plan,
    preset: Preset,
    settings: Settings,
    disk: Disk,
    data: Supply,
) -> Manifest:
    return {
        "name": workspace.name,
        "image": plan.image,
        "imagePullPolicy": str(settings.image_pull_policy),
        "args": list(plan.server_arguments),
        "ports": [{"name": "http", "containerPort": MODEL_PORT, "protocol": "TCP"}],
        "env": environment(workspace),
        "resources": resources(plan, preset, disk),
        "startupProbe": _probe("/health", period=1, failures=STARTUP_SECONDS),
        "livenessProbe": _probe("/health", period=10, failures=3),
        "readinessProbe": _probe("/ready", period=2, failures=2),
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": SECURITY,
        "volumeMounts": [*SCRATCH_MOUNTS, *data.mounts],
    }


def _probe(path: str, *, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": MODEL_PORT, "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
