"""
Condition types and reasons, spelt as KAITO spells them, with ours after them.

KAITO mixes lowerCamel and UpperCamel in its reasons; dashboards and scripts match on them, so both
spellings stay. Source: kaito-project/kaito, api/v1beta1/condition_types.go at v0.12.0, and
pkg/workspace/controllers.
Must not import anything of this package.
"""

from typing import Final

# Types of KAITO.
NODE_CLAIM_READY = "NodeClaimReady"
NODES_READY = "NodesReady"
RESOURCE_READY = "ResourceReady"
INFERENCE_READY = "InferenceReady"
JOB_STARTED = "JobStarted"
WORKSPACE_SUCCEEDED = "WorkspaceSucceeded"
WORKSPACE_DELETING = "WorkspaceDeleting"

# Types of ours.
SPEC_VALID = "SpecValid"
PLAN_FITS = "PlanFits"
IMAGE_PULLED = "ImagePulled"
WEIGHTS_LOADED = "WeightsLoaded"
ROLLED_OUT = "RolledOut"
READY = "Ready"
STALLED = "Stalled"

# Reasons of KAITO: nodes.
NODE_CLAIMS_READY = "NodeClaimsReady"
NODE_CLAIM_NOT_READY = "NodeClaimNotReady"
NODES_ARE_READY = "NodesReady"
NODE_NOT_READY = "NodeNotReady"
NODE_PLUGINS_NOT_READY = "NodePluginsNotReady"
RESOURCE_SUCCESS = "workspaceResourceStatusSuccess"

# Reasons of KAITO: inference.
INFERENCE_SUCCESS = "WorkspaceInferenceStatusSuccess"
INFERENCE_PENDING = "WorkspaceInferenceStatusPending"
IMAGE_PULL_ERROR = "ImagePullError"
CRASH_LOOP = "ContainerCrashLoopBackOff"
OOM_KILLED = "ContainerOOMKilled"
START_ERROR = "ContainerStartError"
POD_EVICTED = "PodEvicted"
NODE_DISK_PRESSURE = "NodeDiskPressure"
NODE_MEMORY_PRESSURE = "NodeMemoryPressure"
UNSCHEDULABLE = "Unschedulable"

# Reasons of KAITO: tuning jobs.
JOB_STATUS_STARTED = "WorkspaceTuningJobStatusStarted"
JOB_STATUS_PENDING = "WorkspaceTuningJobStatusPending"
JOB_STATUS_FAILED = "WorkspaceTuningJobStatusFailed"

# Reasons of KAITO: the Workspace as a whole.
SUCCEEDED = "workspaceSucceeded"
PENDING = "workspacePending"
FAILED = "workspaceFailed"
DELETED = "workspaceDeleted"

# Values of status.state.
STATE_PENDING = "Pending"
STATE_READY = "Ready"
STATE_NOT_READY = "NotReady"
STATE_RUNNING = "Running"
STATE_SUCCEEDED = "Succeeded"
STATE_FAILED = "Failed"

# Values of a condition's status.
TRUE: Final = "True"
FALSE: Final = "False"
UNKNOWN: Final = "Unknown"
