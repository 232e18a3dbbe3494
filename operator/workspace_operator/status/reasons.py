"""
Hold every reason why a Workspace is not ready, with the sentence that a user reads.

One entry per cause that can be told apart. A sentence names the object to look at, says what is
known in the words of whoever knows it, and ends with the next action where a person has one. Words
that KAITO knows keep its spelling (`workspace_operator.conditions`).

Invariant: no sentence holds a figure that moves by itself (a countdown, an age), since each change
of a message is a write. Must not import anything of this package but the spelling of conditions and
`finding`.
"""

from workspace_operator import conditions
from workspace_operator.status.finding import Reason

# What is wrong with the manifest itself.
INVALID_SPEC = Reason(
    word="InvalidSpec",
    sentence="{path}: {why}. Correct the field and apply the manifest again.",
    phase="Invalid",
    failed=True,
)
UNKNOWN_PRESET = Reason(
    word="UnknownPreset",
    sentence="inference.preset.name: {name!r} is not in the catalog{hint}. "
    "The name cannot be changed: delete this Workspace and apply one with a known name.",
    phase="Invalid",
    failed=True,
)
PLAN_REFUSED = Reason(word="PlanRefused", sentence="{message}.", phase="Invalid", failed=True)
PLANNED = Reason(
    word="PlanOnly",
    sentence="The plan is in status.plan, and nothing is made. Remove the annotation "
    "atelier.dev/plan to go ahead.",
    phase="Planned",
)
FAULT = Reason(
    word="ClusterRefused",
    sentence="The API server refused a write: {message}. It is tried again.",
    phase="Blocked",
)
NAME_CONFLICT = Reason(
    word="NameConflict",
    sentence="{kind} {name} belongs to something else, and is neither changed nor deleted. "
    "Rename or delete it, or apply this Workspace under another name.",
    phase="Blocked",
    failed=True,
)

# Pods.
NO_POD_YET = Reason(
    word=conditions.INFERENCE_PENDING,
    sentence="Inference workload is not ready: its Deployment has made no pod yet.",
    phase="Scheduling",
)
POD_REFUSED = Reason(
    word="PodRefused",
    sentence="Deployment {name} may not make its pod: {quote}. "
    "Look at the quota and the policies of namespace {namespace}.",
    phase="Scheduling",
    failed=True,
)
UNSCHEDULABLE = Reason(
    word=conditions.UNSCHEDULABLE,
    sentence="Pod {pod} fits on no node: {quote}. Details: kubectl describe pod {pod}.",
    phase="Scheduling",
)
SCHEDULING = Reason(
    word=conditions.INFERENCE_PENDING,
    sentence="Inference workload is not ready: pod {pod} is being placed on a node.",
    phase="Scheduling",
)
IMAGE_PULL_ERROR = Reason(
    word=conditions.IMAGE_PULL_ERROR,
    sentence="Node {node} cannot pull image {image}: {quote}. Check that the image exists and "
    "that presetOptions.imagePullSecrets may read it.",
    phase="PullingImage",
    failed=True,
)
PULLING_IMAGE = Reason(
    word="PullingImage",
    sentence="Node {node} is getting image {image} for pod {pod}.",
    phase="PullingImage",
)
START_ERROR = Reason(
    word=conditions.START_ERROR,
    sentence="Pod {pod} cannot start its container: {quote}. Details: kubectl describe pod {pod}.",
    phase="StartingServer",
    failed=True,
)
SECRET_MISSING = Reason(
    word="SecretMissing",
    sentence="Pod {pod} waits for a Secret: {quote}. Create it in namespace {namespace}; the token "
    "of the model hub stands under the key HF_TOKEN: kubectl create secret generic {secret} "
    "--namespace {namespace} --from-literal=HF_TOKEN=TOKEN. The pod then starts by itself.",
    phase="StartingServer",
    failed=True,
)
VOLUMES_MISSING = Reason(
    word="VolumesMissing",
    sentence="Pod {pod} waits on node {node} for one of its volumes ({volumes}). Check that each "
    "exists in this namespace and has the keys that are asked for: kubectl describe pod {pod}.",
    phase="MountingVolumes",
    failed=True,
)
CLAIM_MISSING = Reason(
    word="VolumesMissing",
    sentence="Pod {pod} waits for PersistentVolumeClaim {claim}, which is not in namespace "
    "{namespace}. Create it there; the pod then starts by itself.",
    phase="MountingVolumes",
    failed=True,
)
FETCHING = Reason(
    word="FetchingData", sentence="Pod {pod} is getting {what}.", phase="FetchingData"
)
DATA_NOT_FETCHED = Reason(
    word="DataNotFetched",
    sentence="Pod {pod} could not get what it needs: {quote}. It is tried again; details: "
    "kubectl logs {pod} --all-containers.",
    phase="FetchingData",
    failed=True,
)
EVICTED = Reason(
    word=conditions.POD_EVICTED,
    sentence="Pod {pod} was evicted from node {node}: {quote}.",
    phase="Scheduling",
)
EVICTED_FOR_DISK = Reason(
    word=conditions.NODE_DISK_PRESSURE,
    sentence="Pod {pod} was evicted since the disk of node {node} is full: {quote}. "
    "Take an instance type with a larger disk.",
    phase="Scheduling",
)
EVICTED_FOR_MEMORY = Reason(
    word=conditions.NODE_MEMORY_PRESSURE,
    sentence="Pod {pod} was evicted since the memory of node {node} ran short: {quote}.",
    phase="Scheduling",
)
OOM_KILLED = Reason(
    word=conditions.OOM_KILLED,
    sentence="Pod {pod} was killed {restarts} times for using more host memory than its limit. "
    "Take an instance type with more memory.",
    phase="StartingServer",
    failed=True,
)
CRASH_LOOP = Reason(
    word=conditions.CRASH_LOOP,
    sentence="The server in pod {pod} ended with exit code {code}: {quote}. "
    "It is started again; details: kubectl logs {pod} --previous.",
    phase="StartingServer",
    failed=True,
)

# What a server says about itself, or leaves behind when it ends.
GPU_OUT_OF_MEMORY = Reason(
    word="GPUOutOfMemory",
    sentence="The model does not fit the GPU of pod {pod}: {quote}. "
    "Take an instance type with more GPU memory.",
    phase="LoadingWeights",
    failed=True,
)
GPU_DRIVER = Reason(
    word="GPUDriverFailed",
    sentence="CUDA does not work in pod {pod}: {quote}. "
    "Check the driver on node {node}: its version must be as new as the image's CUDA.",
    phase="StartingServer",
    failed=True,
)
GPU_DEVICE_LOST = Reason(
    word="GPUDeviceLost",
    sentence="The server in pod {pod} lost the GPU of node {node} (exit code 71): {quote}. "
    "It is started again.",
    phase="StartingServer",
)
DISK_FULL = Reason(
    word="DiskFull",
    sentence="Pod {pod} has no disk space left: {quote}.",
    phase="StartingServer",
    failed=True,
)
MODEL_ACCESS_DENIED = Reason(
    word="ModelAccessDenied",
    sentence="The model hub refused pod {pod}: {quote}. Accept the model's licence there and put "
    "a token into the Secret of presetOptions.modelAccessSecret, key HF_TOKEN.",
    phase="LoadingWeights",
    failed=True,
)
WEIGHTS_REFUSED = Reason(
    word="WeightsRefused",
    sentence="The weights in pod {pod} are not those of the preset: {quote}. Rebuild the image, "
    "or mend what annotation atelier.dev/weights names.",
    phase="LoadingWeights",
    failed=True,
)
SERVER_FAILED = Reason(
    word="ModelServerFailed",
    sentence="The server in pod {pod} gave up: {quote}. Details: kubectl logs {pod}.",
    phase="StartingServer",
    failed=True,
)
SERVER_STARTING = Reason(
    word=conditions.INFERENCE_PENDING,
    sentence="Inference workload is not ready: the server in pod {pod} is starting.",
    phase="StartingServer",
)
LOADING = Reason(
    word="LoadingWeights",
    sentence="Pod {pod} is loading the weights.",
    phase="LoadingWeights",
)
WARMING = Reason(
    word="WarmingUp",
    sentence="Pod {pod} holds the weights and is making its first token.",
    phase="WarmingUp",
)
DRAINING = Reason(
    word="Draining",
    sentence="Pod {pod} is finishing its answers before it goes.",
    phase="Draining",
)
NOT_ROUTED = Reason(
    word=conditions.INFERENCE_PENDING,
    sentence="Inference workload is not ready: the model in pod {pod} answers, "
    "the kubelet has not passed it to the Service yet.",
    phase="WarmingUp",
)
PROBE_REFUSED = Reason(
    word="ProbeFailed",
    sentence="Pod {pod} calls itself ready, but the operator got no token from it: {quote}. "
    "Check that policies let the operator reach port 5000, or set ATELIER_PROBE=readiness.",
    phase="Probing",
)
PROBE_OUTSTANDING = Reason(
    word=conditions.INFERENCE_PENDING,
    sentence="Inference workload is not ready: pod {pod} has not been asked for a token yet.",
    phase="Probing",
)
ROLLING_OUT = Reason(
    word="RollingOut",
    sentence="Revision {candidate} of the pod is being tried; revision {serving} served before it.",
    phase="RollingOut",
)
ROLLING_OUT_BESIDE = Reason(
    word="RollingOut",
    sentence="Revision {candidate} of the pod is being tried beside revision {serving}, which "
    "serves until then: {why}.",
    phase="RollingOut",
)
ROLLING_OUT_BY_STOPPING = Reason(
    word="RollingOut",
    sentence="Revision {candidate} of the pod is being tried; revision {serving} served before it, "
    "and a pod is stopped before the next one starts: {why}.",
    phase="RollingOut",
)
BACKED_OUT = Reason(
    word="BackedOut",
    sentence="Revision {failed} of the pod never generated a token: {why}. The pods are back at "
    "revision {serving}, which did. Correct the Workspace or its ConfigMap: an edit is tried, the "
    "same revision is not tried again.",
    phase="BackedOut",
    failed=True,
)
DELETING = Reason(
    word="Deleting",
    sentence="workspace is being deleted{rest}.",
    phase="Deleting",
)
