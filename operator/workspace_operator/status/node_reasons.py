"""
Hold every reason why a Workspace has no machines, with the sentence that a user reads.

Form and invariant as in `reasons`, which has the others.
"""

from workspace_operator import conditions
from workspace_operator.status.finding import Reason

KARPENTER_MISSING = Reason(
    word="KarpenterMissing",
    sentence="This cluster does not know NodeClaims, so no machine can be asked for. Install "
    "Karpenter, which is noticed at once, or set nodeProvisioner: byo and label nodes of your own.",
    phase="WaitingForCapacity",
    failed=True,
)
CLAIM_ASKED = Reason(
    word=conditions.NODE_CLAIM_NOT_READY,
    sentence="Ready NodeClaims are not enough: {ready} of {wanted}. NodeClaim {claim} was asked "
    "for.",
    phase="LaunchingNode",
)
CLAIM_LAUNCHING = Reason(
    word=conditions.NODE_CLAIM_NOT_READY,
    sentence="NodeClaim {claim} ({machine}) has no machine yet: {quote}. {hint}"
    "Details: kubectl describe nodeclaim {claim}.",
    phase="LaunchingNode",
)
CLAIM_REGISTERING = Reason(
    word=conditions.NODE_CLAIM_NOT_READY,
    sentence="The machine of NodeClaim {claim} ({machine}) runs and has not joined as a node: "
    "{quote}. Details: kubectl describe nodeclaim {claim}.",
    phase="RegisteringNode",
)
CLAIM_INITIALIZING = Reason(
    word=conditions.NODE_CLAIM_NOT_READY,
    sentence="Node {node} of NodeClaim {claim} is not complete: {quote}.",
    phase="PreparingNode",
    defers=True,
)
CLAIM_GOING = Reason(
    word=conditions.NODE_CLAIM_NOT_READY,
    sentence="NodeClaim {claim} is being deleted; another is asked for when it is gone.",
    phase="ReplacingNode",
)
CLAIM_GIVEN_UP = Reason(
    word=conditions.NODE_CLAIM_NOT_READY,
    sentence="NodeClaim {claim} ({machine}) is given up: {quote}. Another is asked for when it is "
    "gone.",
    phase="WaitingForCapacity",
)
CLAIM_REPLACED = Reason(
    word=conditions.NODE_CLAIM_NOT_READY,
    sentence="NodeClaim {claim} is given back, since {why}. Another is asked for when it is gone, "
    "this once.",
    phase="ReplacingNode",
)
CLAIMS_IN_THE_WAY = Reason(
    word=conditions.NODE_CLAIM_NOT_READY,
    sentence="NodeClaims beyond the {wanted} wanted have to go first: {claims}.",
    phase="ReplacingNode",
)
CLAIM_RETRY = Reason(
    word=conditions.NODE_CLAIM_NOT_READY,
    sentence="No machine for {machine}: {quote}. Failed tries: {failures}; the next is at "
    "{when}{next_machine}. {hint}Annotation atelier.dev/instance-types lists types to fall back "
    "to.",
    phase="WaitingForCapacity",
)
CLAIM_GONE = Reason(
    word="NodeClaimGone",
    sentence="NodeClaim {claim} was deleted and nobody said why; "
    "kubectl get events --field-selector involvedObject.name={claim} may",
)
NO_NODE_YET = Reason(
    word=conditions.NODE_NOT_READY,
    sentence="Not enough Nodes are ready: no node has joined for this Workspace yet.",
    phase="RegisteringNode",
)
NO_NODE_MATCHES = Reason(
    word=conditions.NODE_NOT_READY,
    sentence="Not enough Nodes are ready: {found} of {wanted} match {selector}. "
    "Label a node with a GPU: kubectl label node NAME {example}.",
    phase="WaitingForNodes",
)
NODE_NOT_READY = Reason(
    word=conditions.NODE_NOT_READY,
    sentence="Not enough Nodes are ready: node {node} is not: {quote}. "
    "Details: kubectl describe node {node}.",
    phase="PreparingNode",
)
GPU_NOT_YET_VISIBLE = Reason(
    word=conditions.NODE_PLUGINS_NOT_READY,
    sentence="waiting all node plugins to be ready: node {node} shows {gpus} of {wanted} "
    "{resource}.",
    phase="WaitingForGPU",
)
GPU_NOT_VISIBLE = Reason(
    word="GPUNotVisible",
    sentence="Node {node} has been Ready since {since} and shows {gpus} of {wanted} "
    "nvidia.com/gpu. Look at the driver and the device plugin on it: "
    "kubectl get pods -A --field-selector spec.nodeName={node}.",
    phase="WaitingForGPU",
    failed=True,
)
GPU_STAYS_AWAY = Reason(
    word="GPUNotVisible",
    sentence="Not enough Nodes are ready: {why}. The machine was replaced once already: look at "
    "the driver and the device plugin on it, then delete NodeClaim {claim} for another.",
    phase="WaitingForGPU",
    failed=True,
)
GPU_IN_USE = Reason(
    word="GPUInUse",
    sentence="Not enough Nodes are ready: the GPUs of node {node} are held by {pods}. "
    "Wait for them, delete them, or label another node.",
    phase="WaitingForGPU",
)
NODE_STAYS_DOWN = Reason(
    word=conditions.NODE_NOT_READY,
    sentence="Not enough Nodes are ready: {why}. It was replaced once already: look at its image "
    "and its network, then delete NodeClaim {claim} for another.",
    phase="PreparingNode",
    failed=True,
)
GPU_UNHEALTHY = Reason(
    word="GPUUnhealthy",
    sentence="Not enough Nodes are ready: {why}. Look for Xid errors in the kernel log of the "
    "node; reset or replace it.",
    phase="WaitingForGPU",
    failed=True,
)
