"""Situations in which the machines are not there yet."""

from workspace_operator.api import GpuFailure, NodeAttempt
from workspace_operator.objects.metadata import claim_name

from tests.builders import (
    BYO,
    OWNER,
    at,
    claim,
    node,
)
from tests.builders.situations.row import Row

BYO_NODE = {"apps": "mistral"}
REPLACED = NodeAttempt(
    ordinal=0, attempt=1, claim=claim_name(OWNER, 0, 0), given_back=("ws-before",), time=at(0)
)
LOST = tuple(GpuFailure(node="node-1", time=at(when)) for when in (-200, 0, 290))

ROWS = [
    Row(
        name="nothing yet",
        reason="NodeClaimNotReady",
        says=f"0 of 1. NodeClaim {claim_name(OWNER, 0, 0)} was asked for",
        phase="LaunchingNode",
        claims=(),
        nodes=(),
        conditions={
            "SpecValid": "True",
            "PlanFits": "True",
            "NodeClaimReady": "False",
            "NodesReady": "False",
            "ResourceReady": "False",
            "ImagePulled": "Unknown",
            "WeightsLoaded": "Unknown",
            "InferenceReady": "False",
            "WorkspaceSucceeded": "False",
            "Ready": "False",
        },
    ),
    Row(
        name="claim is new",
        reason="AwaitingReconciliation",
        says="has no machine yet: AwaitingReconciliation",
        phase="LaunchingNode",
        claims=(claim(steps=0),),
        nodes=(),
    ),
    Row(
        name="cloud refuses",
        reason="LaunchFailed",
        says="has no machine yet: quota StandardNCADSA100v4Family exceeded. Details: kubectl",
        phase="LaunchingNode",
        claims=(
            claim(
                steps=0, obstacle=("LaunchFailed", "quota StandardNCADSA100v4Family\n exceeded.")
            ),
        ),
        nodes=(),
    ),
    Row(
        name="claim gives a reason that is no word",
        reason="NodeClaimNotReady",
        says="has no machine yet: strange",
        phase="LaunchingNode",
        claims=(claim(steps=0, obstacle=("not a word!", "strange")),),
        nodes=(),
    ),
    Row(
        name="no capacity, claim gone, waiting to try again",
        reason="InsufficientCapacity",
        says="No machine for Standard_NC24ads_A100_v4: no A100 in eastus. Failed tries: 2; "
        "the next is at 2026-03-01T10:0",
        phase="WaitingForCapacity",
        claims=(),
        nodes=(),
        attempts=(
            NodeAttempt(
                ordinal=0,
                attempt=2,
                failures=2,
                reason="InsufficientCapacity",
                message="no A100 in eastus",
                time=at(290),
            ),
        ),
    ),
    Row(
        name="claim gone without a word",
        reason="NodeClaimGone",
        says="was deleted and nobody said why",
        phase="WaitingForCapacity",
        claims=(),
        nodes=(),
        attempts=(NodeAttempt(ordinal=0, attempt=0, claim="ws1", time=at(0)),),
    ),
    Row(
        name="machine runs, not registered",
        reason="NodeNotFound",
        says="runs and has not joined as a node",
        phase="RegisteringNode",
        claims=(claim(steps=1, obstacle=("NodeNotFound", "Node not registered with cluster")),),
        nodes=(),
    ),
    Row(
        name="claim is dying",
        reason="NodeClaimNotReady",
        says="is being deleted; another is asked for",
        phase="ReplacingNode",
        claims=(claim(deleting=True),),
        nodes=(),
    ),
    Row(
        name="claim is dying and somebody said why",
        reason="InsufficientCapacityError",
        says="(Standard_NC24ads_A100_v4) is given up: none left. Another is asked for",
        phase="WaitingForCapacity",
        claims=(claim(steps=0, deleting=True),),
        nodes=(),
        attempts=(
            NodeAttempt(
                ordinal=0,
                attempt=0,
                claim=claim_name(OWNER, 0, 0),
                reason="InsufficientCapacityError",
                message="none left",
                time=at(290),
            ),
        ),
    ),
    Row(
        name="claims of a namesake are in the way",
        reason="NodeClaimNotReady",
        says="have to go first: old",
        phase="ReplacingNode",
        claims=(claim("old", uid="uid-0"),),
        nodes=(),
    ),
    Row(
        name="registered, GPU not visible: the node explains the claim",
        reason="NodePluginsNotReady",
        says="node-1 shows 0 of 1 nvidia.com/gpu",
        phase="WaitingForGPU",
        claims=(claim(steps=2, obstacle=("ResourceNotRegistered", "nvidia.com/gpu")),),
        nodes=(node(gpus=0),),
        conditions={"NodeClaimReady": "False", "NodesReady": "False"},
    ),
    Row(
        name="GPU not visible for more than ten minutes: another machine, once",
        reason="GPUNotVisible",
        says="is given back, since node node-1 has been Ready since 2026-03-01T09:53:20Z and shows",
        phase="ReplacingNode",
        claims=(claim(steps=2, obstacle=("ResourceNotRegistered", "nvidia.com/gpu")),),
        nodes=(node(gpus=0, since=-400),),
    ),
    Row(
        name="GPU not visible on the second machine either",
        reason="GPUNotVisible",
        says="was replaced once already: look at the driver and the device plugin",
        phase="WaitingForGPU",
        failed=True,
        claims=(claim(steps=2, obstacle=("ResourceNotRegistered", "nvidia.com/gpu")),),
        nodes=(node(gpus=0, since=-400),),
        attempts=(REPLACED,),
    ),
    Row(
        name="brought node shows no GPU for more than ten minutes",
        reason="GPUNotVisible",
        says="Look at the driver and the device plugin",
        phase="WaitingForGPU",
        failed=True,
        claims=(),
        nodes=(node(gpus=0, since=-400, labels=BYO_NODE),),
        settings=BYO,
    ),
    Row(
        name="node is down for more than five minutes: another machine, once",
        reason="NodeNotReady",
        says="is given back, since node node-1 has not been Ready since 2026-03-01T09:59:59Z: kube",
        phase="ReplacingNode",
        nodes=(node(ready=False, since=-1),),
    ),
    Row(
        name="the node of a dying claim is down",
        reason="NodeNotReady",
        says="is given back",
        phase="ReplacingNode",
        claims=(claim(deleting=True),),
        nodes=(node(ready=False, since=-1),),
    ),
    Row(
        name="the second machine is down as well",
        reason="NodeNotReady",
        says="It was replaced once already",
        phase="PreparingNode",
        failed=True,
        nodes=(node(ready=False, since=-1),),
        attempts=(REPLACED,),
    ),
    Row(
        name="the GPU fails again and again: another machine, once",
        reason="GPUUnhealthy",
        says="is given back, since the GPU of node node-1 was lost 3 times within 15 minutes",
        phase="ReplacingNode",
        gpu_failures=LOST,
    ),
    Row(
        name="the GPU of a brought node fails again and again",
        reason="GPUUnhealthy",
        says="Look for Xid errors",
        phase="WaitingForGPU",
        failed=True,
        claims=(),
        nodes=(node(labels=BYO_NODE),),
        gpu_failures=LOST,
        settings=BYO,
    ),
    Row(
        name="node is not ready",
        reason="NodeNotReady",
        says="node node-1 is not: kubelet stopped posting",
        phase="PreparingNode",
        nodes=(node(ready=False),),
        conditions={"NodeClaimReady": "True"},
    ),
    Row(
        name="claim is ready, node not seen",
        reason="NodeNotReady",
        says="no node has joined",
        phase="RegisteringNode",
        nodes=(),
    ),
    Row(
        name="one node of two",
        reason="NodeClaimNotReady",
        says=f"1 of 2. NodeClaim {claim_name(OWNER, 1, 0)} was asked for",
        phase="LaunchingNode",
        facts={"count": 2},
    ),
    Row(
        name="brought nodes: none matches",
        reason="NodeNotReady",
        says="0 of 1 match apps In mistral. Label a node with a GPU: kubectl label node NAME "
        "apps=mistral",
        phase="WaitingForNodes",
        nodes=(node(labels={"apps": "x"}),),
        claims=(),
        settings=BYO,
    ),
    Row(
        name="brought nodes: the GPU is in use",
        reason="GPUInUse",
        says="the GPUs of node node-1 are held by lab/notebook. Wait for them",
        phase="WaitingForGPU",
        nodes=(node(labels=BYO_NODE),),
        others=(
            {
                "metadata": {"namespace": "lab", "name": "notebook"},
                "spec": {
                    "nodeName": "node-1",
                    "containers": [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}],
                },
                "status": {"phase": "Running"},
            },
        ),
        claims=(),
        settings=BYO,
    ),
    Row(
        name="brought nodes: no GPU",
        reason="NodePluginsNotReady",
        says="shows 0 of 1",
        phase="WaitingForGPU",
        nodes=(node(gpus=0, labels=BYO_NODE),),
        claims=(),
        settings=BYO,
    ),
]
