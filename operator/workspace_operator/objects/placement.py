"""
Say which nodes belong to a Workspace, once for the scheduler and once for the operator's own eyes.

A node that the operator counts but the pod may not run on would make the Deployment wait for ever,
and the other way round a pod would land on a node that nobody planned; so both answers come from
the same terms. Nodes that Karpenter made carry the labels of their claim: the user's own and ours.
Nodes that the user brings are chosen by matchLabels and matchExpressions.

Must not import the other kinds of `objects`.
"""

from workspace_operator.api import Workspace
from workspace_operator.objects.metadata import claim_labels, identity_of
from workspace_operator.plan import Plan
from workspace_operator.settings import NodeProvisioner
from workspace_operator.snapshot import GPU_RESOURCE, Manifest, Node, Snapshot

# Source: kaito-project/kaito, pkg/workspace/manifests at v0.12.0.
TOLERATIONS = [
    {"key": GPU_RESOURCE, "operator": "Exists", "effect": "NoSchedule"},
    {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
    {
        "key": "kubernetes.azure.com/scalesetpriority",
        "operator": "Equal",
        "value": "spot",
        "effect": "NoSchedule",
    },
]


def node_terms(workspace: Workspace, plan: Plan) -> list[Manifest]:
    """Return the expressions that a node must satisfy, as node affinity spells them."""
    labels = dict(plan.node_labels)
    if plan.provisioner is NodeProvisioner.KARPENTER:
        labels |= claim_labels(identity_of(workspace))
    terms: list[Manifest] = [
        {"key": key, "operator": "In", "values": [value]} for key, value in sorted(labels.items())
    ]
    if plan.provisioner is NodeProvisioner.BYO:
        terms += [
            {"key": each.key, "operator": each.operator}
            | ({"values": list(each.values)} if each.values else {})
            for each in workspace.resource.label_selector.match_expressions
        ]
    return terms


def matching_nodes(workspace: Workspace, plan: Plan, snapshot: Snapshot) -> tuple[Node, ...]:
    """Return the nodes that satisfy the terms, by name."""
    terms = node_terms(workspace, plan)
    return tuple(node for node in snapshot.nodes if all(_holds(term, node) for term in terms))


def shows_gpus(node: Node, plan: Plan) -> bool:
    """Say whether a pod of the plan could be given its GPUs on this node."""
    return node.allocatable(plan.gpu_resource) >= plan.gpus_per_node


def usable_nodes(workspace: Workspace, plan: Plan, snapshot: Snapshot) -> tuple[Node, ...]:
    """Return the nodes that are ready and have the GPUs that a pod will ask for."""
    return tuple(
        node
        for node in matching_nodes(workspace, plan, snapshot)
        if node.ready and has_free_gpus(node, plan, snapshot)
    )


def has_free_gpus(node: Node, plan: Plan, snapshot: Snapshot) -> bool:
    """Say whether so many GPUs of a node are left by the pods of others."""
    taken = snapshot.taken.get(node.name)
    left = node.allocatable(plan.gpu_resource) - (taken.of(plan.gpu_resource) if taken else 0)
    return left >= plan.gpus_per_node


def _holds(term: Manifest, node: Node) -> bool:
    value = node.labels.get(term["key"])
    match term["operator"]:
        case "In":
            return value in term["values"]
        case "NotIn":  # as for the scheduler: a node without the label satisfies it
            return value not in term["values"]
        case "Exists":
            return value is not None
        case _:
            return value is None
