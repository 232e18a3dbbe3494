"""
Ask for one machine: a NodeClaim in exactly the shape that KAITO gives it.

Existing Azure provisioners, dashboards and policies know that shape, so nothing of it changes but
two things in the requests. The GPU stands there, since Karpenter's `Initialized` waits for the
device plugin only then. And the disk is called `storage` for KAITO's own node class alone: upstream
Karpenter waits until the node shows every resource that was asked for, no kubelet ever shows that
one, and the claim would stay Unknown for good; there it is `ephemeral-storage`. The label
`karpenter.sh/nodepool: kaito` names a pool that does not exist; it keeps Karpenter's own
provisioning away. Source: kaito-project/kaito, pkg/utils/nodeclaim/nodeclaim.go at v0.12.0;
kubernetes-sigs/karpenter, pkg/controllers/nodeclaim/lifecycle/initialization.go at v1.13.0.

Invariant: the spec depends on the plan only, since Karpenter refuses any change of it later.
Must not import the other kinds of `objects`, but for slots.
"""

from workspace_operator.api import Workspace
from workspace_operator.objects.metadata import (
    DO_NOT_DISRUPT_ANNOTATION,
    IMAGE_FAMILY_ANNOTATION,
    NODE_POOL,
    NODE_POOL_LABEL,
    ORDINAL_ANNOTATION,
    UID_ANNOTATION,
    claim_labels,
    claim_name,
    identity_of,
)
from workspace_operator.objects.slots import Slot
from workspace_operator.plan import Plan
from workspace_operator.settings import Cloud, NodeClass, Settings
from workspace_operator.snapshot import GPU_RESOURCE, Manifest
from workspace_operator.snapshot.claims import INSTANCE_TYPE_LABEL

API_VERSION = "karpenter.sh/v1"
KIND = "NodeClaim"

# Group of the node class that only KAITO's fork of Karpenter serves.
KAITO_GROUP = "kaito.sh"

GPU_TAINT = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
DEFAULT_IMAGE_FAMILY = "ubuntu"


def node_claim(workspace: Workspace, plan: Plan, settings: Settings, slot: Slot) -> Manifest:
    """Return the NodeClaim for one node of the plan."""
    owner = identity_of(workspace)
    node_class = settings.node_class
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": claim_name(owner, slot.ordinal, slot.attempt),
            "labels": {
                **plan.node_labels,
                NODE_POOL_LABEL: NODE_POOL,
                **claim_labels(owner),
            },
            "annotations": {
                DO_NOT_DISRUPT_ANNOTATION: "true",
                IMAGE_FAMILY_ANNOTATION: workspace.annotations.get(
                    IMAGE_FAMILY_ANNOTATION, DEFAULT_IMAGE_FAMILY
                ),
                UID_ANNOTATION: workspace.uid,
                ORDINAL_ANNOTATION: str(slot.ordinal),
            },
        },
        "spec": {
            "nodeClassRef": {
                "group": node_class.group,
                "kind": node_class.kind,
                "name": node_class.name,
            },
            "requirements": _requirements(plan, slot.instance_types, settings),
            "taints": [GPU_TAINT],
            "resources": {"requests": _requests(plan, node_class)},
            "expireAfter": "Never",
        },
    }


def _requirements(plan: Plan, types: tuple[str, ...], settings: Settings) -> list[Manifest]:
    requirements = [_within(NODE_POOL_LABEL, NODE_POOL)]
    if types:
        requirements.append(_within(INSTANCE_TYPE_LABEL, *types))
    requirements.append(_within("kubernetes.io/os", "linux"))
    if settings.cloud is Cloud.AZURE and types:
        requirements.append(_within("karpenter.azure.com/sku-name", *types))
    if plan.gpus_per_node:
        requirements += _gpu_requirements(plan, settings)
    return requirements


def _gpu_requirements(plan: Plan, settings: Settings) -> list[Manifest]:
    """
    Describe the GPU in the labels of the cloud's Karpenter, where it has some.

    A named type needs none, and KAITO's node class knows none; a type that Karpenter chooses must
    not be one whose table here is out of date. Source: karpenter.sh/docs/concepts/scheduling
    (well-known labels of AWS, memory in MiB); Azure/karpenter-provider-azure,
    pkg/apis/v1beta1/labels.go; cloudpilot-ai/karpenter-provider-gcp, docs/gpu.md.
    """
    chosen = plan.instance_type is None and not plan.in_order
    count = str(plan.gpus_per_node)
    group = settings.node_class.group
    if settings.cloud is Cloud.AWS:
        if not chosen:
            return [_more_than("karpenter.k8s.aws/instance-gpu-count", 0)]
        return [
            _within("karpenter.k8s.aws/instance-gpu-manufacturer", "nvidia"),
            _within("karpenter.k8s.aws/instance-gpu-count", count),
            _more_than("karpenter.k8s.aws/instance-gpu-memory", plan.least_gpu_mib - 1),
        ]
    if not chosen:
        return []
    if group == "karpenter.azure.com":
        return [
            _within("karpenter.azure.com/sku-gpu-manufacturer", "nvidia"),
            _within("karpenter.azure.com/sku-gpu-count", count),
        ]
    if group == "karpenter.k8s.gcp":
        return [_within("karpenter.k8s.gcp/instance-gpu-count", count)]
    return []


def _more_than(key: str, number: int) -> Manifest:
    return {"key": key, "operator": "Gt", "values": [str(number)]}


def _within(key: str, *values: str) -> Manifest:
    return {"key": key, "operator": "In", "values": list(values)}


def _requests(plan: Plan, node_class: NodeClass) -> Manifest:
    disk = "storage" if node_class.group == KAITO_GROUP else "ephemeral-storage"
    requests = {disk: f"{plan.disk_gib}Gi"}
    if plan.gpus_per_node:
        requests[GPU_RESOURCE] = str(plan.gpus_per_node)
    return requests
