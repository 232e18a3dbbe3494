"""
Let nothing reach a model pod but its port, and let the pod reach nothing it has no need of.

Into a pod: the ports that it answers on, from where the administrator says (every namespace by
default) and from the operator's namespace, which asks it for a token. Behind a load balancer the
clients have no pod, so with one the ports are open to everybody. The kubelet's probes come from the
node itself, which a NetworkPolicy never keeps out.

Out of a pod that serves a preset: DNS within the cluster. Weights, tokenizer and code are in the
image, and a server that has been taken over shall find nobody to talk to. Only a pod that was given
a token for the model hub, or fetches its weights there, may speak HTTPS, and one that fetches data
or adapters may reach the ports of these addresses and registries. A pod that tunes is reached by
the operator alone. A pod template of the user's own may reach what it wants: nobody but the user
knows what that is.

Must not import the other kinds of `objects`, but for metadata, the frame, data and weights.
"""

from workspace_operator.api import Workspace
from workspace_operator.objects.data import ports_out
from workspace_operator.objects.metadata import (
    LOAD_BALANCER_ANNOTATION,
    WORKSPACE_LABEL,
    child_metadata,
    identity_of,
)
from workspace_operator.objects.pod_frame import options_of
from workspace_operator.objects.weights import hub_ports
from workspace_operator.plan import Plan
from workspace_operator.registries import HTTPS_PORT
from workspace_operator.settings import Settings
from workspace_operator.snapshot import Manifest

API_VERSION = "networking.k8s.io/v1"
KIND = "NetworkPolicy"

# Set by Kubernetes on every namespace since 1.21.
NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"
DNS_PORT = 53


def policy_name(workspace_name: str) -> str:
    """Return the name of the policy: not the Workspace's own, which a user's may have already."""
    return f"{workspace_name}-model"


def network_policy(workspace: Workspace, plan: Plan, settings: Settings) -> Manifest:
    """Return the NetworkPolicy of a Workspace."""
    spec: Manifest = {
        "podSelector": {"matchLabels": {WORKSPACE_LABEL: workspace.name}},
        "policyTypes": ["Ingress"],
        "ingress": [_ingress(workspace, plan, settings)],
    }
    if plan.preset is not None:
        spec["policyTypes"] = ["Ingress", "Egress"]
        spec["egress"] = _egress(workspace, plan, settings)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": child_metadata(identity_of(workspace), policy_name(workspace.name)),
        "spec": spec,
    }


def _ingress(workspace: Workspace, plan: Plan, settings: Settings) -> Manifest:
    rule: Manifest = {"ports": [{"port": port, "protocol": "TCP"} for port in plan.ports]}
    if plan.training is None and workspace.annotations.get(LOAD_BALANCER_ANNOTATION) == "True":
        return rule
    operator = {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME_LABEL: settings.namespace}}}
    clients = () if plan.training else settings.model_clients
    return rule | {"from": [*clients, operator]}


def _egress(workspace: Workspace, plan: Plan, settings: Settings) -> list[Manifest]:
    names = {
        "to": [{"namespaceSelector": {}}],
        "ports": [{"port": DNS_PORT, "protocol": each} for each in ("UDP", "TCP")],
    }
    ports = {*ports_out(workspace, settings), *hub_ports(plan, settings)}
    if options_of(workspace).model_access_secret:
        ports.add(HTTPS_PORT)
    if not ports:
        return [names]
    return [names, {"ports": [{"port": port, "protocol": "TCP"} for port in sorted(ports)]}]
