"""
Put the weights where the server looks for them, when they are not in its image.

They are mounted over the folder of the image, read-only, so the same image serves with weights of
its own and with others. The server holds every byte of them against their lock, wherever they come
from.

Those that are fetched come by an init container of the same image, into an emptyDir with a limit:
it outlives the container, so one that was killed goes on where it was (`model_presets.fetching`).

Must not import the other kinds of `objects`, but for the frame and data.
"""

from urllib.parse import urlsplit

from model_presets.preset import Preset

from workspace_operator.api import Workspace
from workspace_operator.api.weights import WeightsKind
from workspace_operator.instance_types import GIB
from workspace_operator.objects.data import Supply
from workspace_operator.objects.pod_frame import (
    HOST_MEMORY_LIMIT_GIB,
    SCRATCH_MOUNTS,
    SECURITY,
    environment,
)
from workspace_operator.plan import MODEL_PORT, Plan
from workspace_operator.plan.weights import fetched_gib
from workspace_operator.registries import HTTP_PORT, HTTPS_PORT
from workspace_operator.settings import Settings
from workspace_operator.snapshot import Manifest
from workspace_operator.snapshot.pods import FETCH_WEIGHTS

# Where the image of a preset has them, and ATELIER_MODEL points (Dockerfile.mistral).
WEIGHTS_FOLDER = "/models/weights"
VOLUME = "weights"


def weights_supply(workspace: Workspace, plan: Plan, preset: Preset, settings: Settings) -> Supply:
    """Return what brings the weights into a pod; nothing where its image has them."""
    match plan.weights.kind:
        case WeightsKind.IMAGE:
            return Supply()
        case WeightsKind.CLAIM:
            claim = {"claimName": plan.weights.claim, "readOnly": True}
            return Supply(
                volumes=({"name": VOLUME, "persistentVolumeClaim": claim},),
                mounts=(_mount(plan.weights.folder),),
            )
        case WeightsKind.VOLUME_IMAGE:
            image = {
                "reference": plan.weights.reference,
                "pullPolicy": str(settings.image_pull_policy),
            }
            return Supply(volumes=({"name": VOLUME, "image": image},), mounts=(_mount(),))
        case WeightsKind.FETCH:
            limit = f"{fetched_gib(preset, plan.weights)}Gi"
            return Supply(
                volumes=({"name": VOLUME, "emptyDir": {"sizeLimit": limit}},),
                mounts=(_mount(),),
                init_containers=(_fetcher(workspace, plan, preset, settings),),
            )


def hub_ports(plan: Plan, settings: Settings) -> tuple[int, ...]:
    """Return the TCP ports that a pod has to reach for its weights; files come from elsewhere."""
    preset = plan.preset
    if plan.weights.kind is not WeightsKind.FETCH or preset is None or preset.seed is not None:
        return ()
    hub = urlsplit(settings.hub_endpoint or "")
    usual = HTTP_PORT if hub.scheme == "http" else HTTPS_PORT
    return tuple(sorted({HTTPS_PORT, hub.port or usual}))


def _mount(folder: str = "") -> Manifest:
    whole: Manifest = {"name": VOLUME, "mountPath": WEIGHTS_FOLDER, "readOnly": True}
    return whole | ({"subPath": folder} if folder else {})


def _fetcher(workspace: Workspace, plan: Plan, preset: Preset, settings: Settings) -> Manifest:
    # A shard that is pickled passes through memory when it is converted.
    limit = preset.weight_bytes // GIB + HOST_MEMORY_LIMIT_GIB
    variables: list[Manifest] = [
        *environment(workspace),
        {"name": "HF_HUB_OFFLINE", "value": "0"},  # the image says 1, for the server
    ]
    if settings.hub_endpoint:
        variables.append({"name": "HF_ENDPOINT", "value": settings.hub_endpoint})
    return {
        "name": FETCH_WEIGHTS,
        "image": plan.image,
        "imagePullPolicy": str(settings.image_pull_policy),
        "command": [
            *("python", "-m", "model_presets", "fetch-weights", preset.name, WEIGHTS_FOLDER),
            *("--port", str(MODEL_PORT)),
        ],
        "ports": [{"name": "progress", "containerPort": MODEL_PORT, "protocol": "TCP"}],
        "env": variables,
        "resources": {
            "requests": {"cpu": "250m", "memory": "512Mi"},
            "limits": {"memory": f"{limit}Gi"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": SECURITY,
        "volumeMounts": [*SCRATCH_MOUNTS, {"name": VOLUME, "mountPath": WEIGHTS_FOLDER}],
    }
