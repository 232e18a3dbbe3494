"""Situations that a pod's own status does not explain, and an Event about it does."""

from workspace_operator.snapshot import PodWarning

from tests.builders import Manifest, condition, pod, running, stamp, waiting
from tests.builders.situations.row import Row

UNMOUNTED = 'MountVolume.SetUp failed for volume "terms" : configmap "terms" not found'
PLACED = [
    condition("PodScheduled", since=205),
    condition("PodReadyToStartContainers", "False"),
]


def preempted() -> Manifest:
    made = pod(
        "mistral-0",
        state=running(),
        conditions=[
            condition("DisruptionTarget", "True", "PreemptionByScheduler", "for a higher priority")
        ],
    )
    made["metadata"]["deletionTimestamp"] = stamp(290)
    return made


ROWS = [
    Row(
        name="a volume cannot be mounted, and the kubelet says which",
        reason="VolumesMissing",
        says='for a volume: MountVolume.SetUp failed for volume "terms" : configmap "terms" not',
        phase="MountingVolumes",
        failed=True,
        pods=(pod(conditions=PLACED),),
        warnings={"mistral-a": PodWarning(reason="FailedMount", message=UNMOUNTED)},
    ),
    Row(
        name="the network of a pod cannot be set up",
        reason="PodSandboxFailed",
        says="Node node-1 cannot set up pod mistral-a (FailedCreatePodSandBox): no addresses left",
        phase="Scheduling",
        failed=True,
        pods=(pod(conditions=PLACED),),
        warnings={
            "mistral-a": PodWarning(reason="FailedCreatePodSandBox", message="no addresses left")
        },
    ),
    Row(
        name="an image is not pulled, and the status has forgotten why",
        reason="ImagePullError",
        says="cannot pull image atelier/mistral-7b-instruct:1.2.3: 401 Unauthorized",
        phase="PullingImage",
        failed=True,
        pods=(pod(state=waiting("ImagePullBackOff", "Back-off pulling image")),),
        warnings={"mistral-a": PodWarning(reason="Failed", message="401 Unauthorized")},
    ),
    Row(
        name="the scheduler speaks in an Event alone",
        reason="Unschedulable",
        says="fits on no node: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu",
        phase="Scheduling",
        pods=(pod(placed=False, conditions=[]),),
        warnings={
            "mistral-a": PodWarning(
                reason="FailedScheduling",
                message="0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
            )
        },
    ),
    Row(
        name="a pod had to leave, and the next finds no place",
        reason="PodPreempted",
        says="mistral-0 had to leave node node-1 (PreemptionByScheduler: for a higher priority)",
        phase="Scheduling",
        pods=(
            preempted(),
            pod(
                placed=False,
                conditions=[condition("PodScheduled", "False", "Unschedulable", "0/1 nodes")],
            ),
        ),
    ),
    Row(
        name="a probe of the user's own fails",
        reason="PodNotHealthy",
        says="runs and is not ready: Readiness probe failed: HTTP 503",
        phase="StartingServer",
        pods=(pod(state=running()),),
        warnings={
            "mistral-a": PodWarning(reason="Unhealthy", message="Readiness probe failed: HTTP 503")
        },
    ),
]
