"""Situations in which the nodes are there and a pod is on its way."""

from tests.builders import (
    condition,
    ended,
    pod,
    running,
    waiting,
)
from tests.builders.situations.row import Row

ROWS = [
    Row(
        name="nodes ready, no pod yet",
        reason="WorkspaceInferenceStatusPending",
        says="its Deployment has made no pod yet",
        phase="Scheduling",
        conditions={"ResourceReady": "True", "NodesReady": "True", "NodeClaimReady": "True"},
    ),
    Row(
        name="quota refuses the pod",
        reason="PodRefused",
        says="may not make its pod: exceeded quota: gpus",
        phase="Scheduling",
        failed=True,
        deployment={
            "metadata": {"name": "mistral", "labels": {"kaito.sh/workspace": "mistral"}},
            "status": {"conditions": [condition("ReplicaFailure", message="exceeded quota: gpus")]},
        },
    ),
    Row(
        name="a Secret of a volume is missing",
        reason="VolumesMissing",
        says="waits on node node-1 for one of its volumes (Secret registry, ConfigMap terms)",
        phase="MountingVolumes",
        failed=True,
        pods=(
            pod(
                conditions=[
                    condition("PodScheduled", since=205),
                    condition("PodReadyToStartContainers", "False"),
                ]
            )
            | {
                "spec": {
                    "nodeName": "node-1",
                    "containers": [{"name": "mistral"}],
                    "volumes": [
                        {"name": "a", "projected": {"sources": [{"secret": {"name": "registry"}}]}},
                        {"name": "b", "configMap": {"name": "terms"}},
                        {"name": "tmp", "emptyDir": {}},
                    ],
                }
            },
        ),
    ),
    Row(
        name="weights on a volume have no lock",
        reason="WeightsRefused",
        says="or mend what annotation atelier.dev/weights names",
        phase="LoadingWeights",
        failed=True,
        facts={"annotations": {"atelier.dev/weights": "pvc:models"}},
        pods=(
            pod(
                state=waiting("CrashLoopBackOff"),
                last=ended(1, message="/models/weights/weights.lock.json: missing; write it"),
                restarts=2,
            ),
        ),
    ),
    Row(
        name="the claim of the weights is missing",
        reason="VolumesMissing",
        says="waits for PersistentVolumeClaim models, which is not in namespace team",
        phase="MountingVolumes",
        failed=True,
        facts={"annotations": {"atelier.dev/weights": "pvc:models"}},
        pods=(
            pod(
                placed=False,
                conditions=[
                    condition(
                        "PodScheduled",
                        "False",
                        "Unschedulable",
                        '0/3 nodes are available: persistentvolumeclaim "models" not found. not '
                        "found",
                    )
                ],
            ),
        ),
    ),
    Row(
        name="an adapter is being fetched",
        reason="FetchingData",
        says="is getting adapter-0",
        phase="FetchingData",
        pods=(pod(initContainerStatuses=[{"name": "fetch-adapter-0", "state": running()}]),),
    ),
    Row(
        name="an adapter cannot be fetched",
        reason="DataNotFetched",
        says="r.example/a:1: HTTP 401; check the name, the registry, and the pull secret",
        phase="FetchingData",
        failed=True,
        pods=(
            pod(
                initContainerStatuses=[
                    {
                        "name": "fetch-adapter-0",
                        "state": waiting("CrashLoopBackOff", "back-off"),
                        "lastState": {
                            "terminated": ended(
                                1,
                                message="r.example/a:1: HTTP 401; check the name, the registry, "
                                "and the pull secret",
                            )
                        },
                    }
                ]
            ),
        ),
    ),
    Row(
        name="pod is being placed",
        reason="WorkspaceInferenceStatusPending",
        says="is being placed on a node",
        phase="Scheduling",
        pods=(pod(placed=False, conditions=[]),),
    ),
    Row(
        name="pod fits nowhere",
        reason="Unschedulable",
        says="fits on no node: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu. Details",
        phase="Scheduling",
        pods=(
            pod(
                placed=False,
                conditions=[
                    condition(
                        "PodScheduled",
                        "False",
                        "Unschedulable",
                        "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
                    )
                ],
            ),
        ),
    ),
    Row(
        name="image is being pulled",
        reason="PullingImage",
        says="Node node-1 is getting image atelier/mistral-7b-instruct:1.2.3",
        phase="PullingImage",
        pods=(pod(),),
        conditions={"ImagePulled": "False", "WeightsLoaded": "Unknown"},
    ),
    Row(
        name="image cannot be pulled",
        reason="ImagePullError",
        says="cannot pull image atelier/mistral-7b-instruct:1.2.3: not found",
        phase="PullingImage",
        failed=True,
        pods=(pod(state=waiting("ImagePullBackOff", "not found")),),
        conditions={"ImagePulled": "False"},
    ),
    Row(
        name="a Secret is missing",
        reason="SecretMissing",
        says='waits for a Secret: secret "hub" not found. Create it in namespace team',
        phase="StartingServer",
        failed=True,
        pods=(pod(state=waiting("CreateContainerConfigError", 'secret "hub" not found')),),
    ),
    Row(
        name="a Secret has no token",
        reason="SecretMissing",
        says="kubectl create secret generic hub --namespace team --from-literal=HF_TOKEN=TOKEN",
        phase="StartingServer",
        failed=True,
        pods=(
            pod(
                state=waiting(
                    "CreateContainerConfigError", "couldn't find key HF_TOKEN in Secret team/hub"
                )
            ),
        ),
    ),
    Row(
        name="the container cannot be made",
        reason="ContainerStartError",
        says='cannot start its container: configmap "x" not found',
        phase="StartingServer",
        failed=True,
        pods=(pod(state=waiting("CreateContainerConfigError", 'configmap "x" not found')),),
    ),
    Row(
        name="evicted for disk",
        reason="NodeDiskPressure",
        says="the disk of node node-1 is full",
        phase="Scheduling",
        pods=(
            pod(
                state=running(),
                phase="Failed",
                reason="Evicted",
                message="The node was low on resource: ephemeral-storage.",
            ),
        ),
    ),
    Row(
        name="evicted for memory",
        reason="NodeMemoryPressure",
        says="the memory of node node-1 ran short",
        phase="Scheduling",
        pods=(
            pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
        ),
    ),
    Row(
        name="evicted for another reason",
        reason="PodEvicted",
        says="was evicted from node node-1: Preempted",
        phase="Scheduling",
        pods=(pod(phase="Failed", reason="Preempted"),),
    ),
]
