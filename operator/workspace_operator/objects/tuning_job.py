"""
Run a tuning as a Job with the Workspace's name, on the Workspace's node, once.

A Job's pod cannot be changed, and hours of training must not be lost to an operator that was
updated: so a Job that stands is left alone for as long as it is what the user asks for, which its
digest says (spec and ConfigMap). Another digest deletes it, and the next pass makes the new one.

An exit code of 1 ends the Job, since the program says by it that another try would end the same
way; what the node did (eviction, drain) does not count as a try. Kubernetes takes rules about exit
codes only with restartPolicy Never, so each try is a new pod: a volume as output keeps the
checkpoints between tries.

Must not import the other kinds of `objects`, but for metadata, the frame, data and slots.
"""

from model_presets.preset import Preset

from workspace_operator.api import Tuning, Workspace
from workspace_operator.api.annotations import RELEASE_ANNOTATION
from workspace_operator.objects.data import DOCKER_CONFIG_KEY, supply
from workspace_operator.objects.metadata import (
    TRAINING_ANNOTATION,
    child_metadata,
    identity_of,
    is_ours,
)
from workspace_operator.objects.pod_frame import (
    SCRATCH_MOUNTS,
    SECURITY,
    Disk,
    environment,
    frame,
    options_of,
    resources,
)
from workspace_operator.plan import MODEL_PORT, Plan
from workspace_operator.plan.training import CONFIG_FOLDER, DATA_FOLDER, RESULTS_FOLDER
from workspace_operator.settings import Settings
from workspace_operator.snapshot import Manifest, Snapshot
from workspace_operator.snapshot.jobs import Job
from workspace_operator.snapshot.reading import section, strings

API_VERSION = "batch/v1"
KIND = "Job"
PUSH_SECRET_FOLDER = "/mnt/push-secret"  # noqa: S105 - a path
HUB_TOKEN_FOLDER = "/mnt/hub-token"  # noqa: S105 - a path

TRIES_AFTER_THE_FIRST = 3
USELESS_TO_REPEAT = 1
DATA_GIB = 20
RESULTS_GIB = 8
# What is made of the data (twice), the data, the results, logs.
DISK = Disk(scratch="12Gi", limit_gib=12 * 2 + DATA_GIB + RESULTS_GIB + 1)
# Data sets are read through memory, and a base on the CPU is held beside its gradients.
MORE_MEMORY_GIB = 4


def tuning_job(
    workspace: Workspace, tuning: Tuning, plan: Plan, preset: Preset, settings: Settings
) -> Manifest:
    """Return the Job of a Workspace that tunes."""
    metadata = child_metadata(identity_of(workspace), workspace.name)
    metadata["annotations"] = {TRAINING_ANNOTATION: plan.training.digest if plan.training else ""}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": metadata,
        "spec": {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": TRIES_AFTER_THE_FIRST,
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    },
                    {
                        "action": "FailJob",
                        "onExitCodes": {"operator": "In", "values": [USELESS_TO_REPEAT]},
                    },
                ]
            },
            "podReplacementPolicy": "Failed",  # the GPU is free only then
            "template": _pod(workspace, tuning, plan, preset, settings),
        },
    }


def is_asked_for(plan: Plan, live: Manifest) -> bool:
    """Say whether a Job does what the user asks for now."""
    marks = strings(section(live, "metadata", "annotations"))
    return plan.training is not None and marks.get(TRAINING_ANNOTATION) == plan.training.digest


def job_of(workspace: Workspace, plan: Plan, snapshot: Snapshot) -> Job | None:
    """Return the Job that does what is asked for now, if it is there."""
    if snapshot.job is None or not is_asked_for(plan, snapshot.job):
        return None
    return any_job_of(workspace, snapshot)


def any_job_of(workspace: Workspace, snapshot: Snapshot) -> Job | None:
    """Return the Job of a Workspace, whether or not it is what is asked for now."""
    live = snapshot.job
    if live is None or not is_ours(identity_of(workspace), live):
        return None
    return Job.parse(live)


def gives_nodes_back(workspace: Workspace, plan: Plan, snapshot: Snapshot) -> bool:
    """Say whether the machines go now: the training has ended, and the user wants it so."""
    if plan.training is None or workspace.annotations.get(RELEASE_ANNOTATION) != "true":
        return False
    job = job_of(workspace, plan, snapshot)
    return job is not None and job.ended


def _pod(
    workspace: Workspace, tuning: Tuning, plan: Plan, preset: Preset, settings: Settings
) -> Manifest:
    data = supply(tuning.input, "data", DATA_FOLDER, plan, settings, size_gib=DATA_GIB)
    results = tuning.output.volume_source or {"emptyDir": {"sizeLimit": f"{RESULTS_GIB}Gi"}}
    volumes: list[Manifest] = [*data.volumes, {**results, "name": "results"}]
    mounts = [*SCRATCH_MOUNTS, *data.mounts, {"name": "results", "mountPath": RESULTS_FOLDER}]
    if tuning.config:
        volumes.append({"name": "config", "configMap": {"name": tuning.config}})
        mounts.append({"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True})
    if tuning.output.image and tuning.output.image_push_secret:
        volumes.append(
            _secret(
                "push-secret", tuning.output.image_push_secret, DOCKER_CONFIG_KEY, "config.json"
            )
        )
        mounts.append({"name": "push-secret", "mountPath": PUSH_SECRET_FOLDER, "readOnly": True})
    uploads = plan.training is not None and plan.training.repository is not None
    token_secret = options_of(workspace).model_access_secret
    if uploads and token_secret:
        volumes.append(_secret("hub-token", token_secret, "HF_TOKEN", "token"))
        mounts.append({"name": "hub-token", "mountPath": HUB_TOKEN_FOLDER, "readOnly": True})
    container = {
        "name": workspace.name,
        "image": plan.image,
        "imagePullPolicy": str(settings.image_pull_policy),
        "command": ["python", "-m", "model_tuning"],
        "args": list(plan.server_arguments),
        "ports": [{"name": "http", "containerPort": MODEL_PORT, "protocol": "TCP"}],
        "env": [
            *environment(workspace),
            # Source: pytorch.org/docs/stable/notes/cuda.html; examples differ in length.
            {"name": "PYTORCH_CUDA_ALLOC_CONF", "value": "expandable_segments:True"},
            # The image is told to stay off the hub.
            *([{"name": "HF_HUB_OFFLINE", "value": "0"}] if uploads else []),
        ],
        "resources": resources(plan, preset, DISK, MORE_MEMORY_GIB),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": SECURITY,
        "volumeMounts": mounts,
    }
    spec: Manifest = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": plan.drain_seconds,
        "containers": [container],
    }
    if data.init_containers:
        spec["initContainers"] = list(data.init_containers)
    return frame(workspace, plan, DISK, volumes, **spec)


def _secret(volume: str, name: str, key: str, file: str) -> Manifest:
    """Return a volume with one key of a Secret, as a file."""
    items = [{"key": key, "path": file}]
    return {"name": volume, "secret": {"secretName": name, "items": items, "defaultMode": 0o440}}
