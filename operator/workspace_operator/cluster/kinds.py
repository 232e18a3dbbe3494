"""
Know where each kind lives in the API, so that no request needs discovery.

The paths are fixed: the operator handles these kinds and no others. Asking the server for them (two
round trips per API group at start) would only add a way to fail.
Must not import anything of this package.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Locate one kind."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, *, namespace: str | None = None, name: str | None = None) -> str:
        """
        Return the path of one object, or of the collection where no name is given.

        A namespaced kind without a namespace means all namespaces.
        """
        root = "/apis/" if "/" in self.api_version else "/api/"
        scope = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        leaf = f"/{quote(name, safe='')}" if name else ""
        return f"{root}{self.api_version}{scope}/{self.plural}{leaf}"


WORKSPACE = Kind(api_version="kaito.sh/v1beta1", kind="Workspace", plural="workspaces")
NODE_CLAIM = Kind(
    api_version="karpenter.sh/v1", kind="NodeClaim", plural="nodeclaims", namespaced=False
)
NODE = Kind(api_version="v1", kind="Node", plural="nodes", namespaced=False)
POD = Kind(api_version="v1", kind="Pod", plural="pods")
SERVICE = Kind(api_version="v1", kind="Service", plural="services")
DEPLOYMENT = Kind(api_version="apps/v1", kind="Deployment", plural="deployments")
CONFIG_MAP = Kind(api_version="v1", kind="ConfigMap", plural="configmaps")
REPLICA_SET = Kind(api_version="apps/v1", kind="ReplicaSet", plural="replicasets")
JOB = Kind(api_version="batch/v1", kind="Job", plural="jobs")
NETWORK_POLICY = Kind(
    api_version="networking.k8s.io/v1", kind="NetworkPolicy", plural="networkpolicies"
)
EVENT = Kind(api_version="events.k8s.io/v1", kind="Event", plural="events")
# What the kubelet says about a pod: the same objects, in the version that it writes.
POD_EVENT = Kind(api_version="v1", kind="Event", plural="events")
DEFINITION = Kind(
    api_version="apiextensions.k8s.io/v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    namespaced=False,
)
LEASE = Kind(api_version="coordination.k8s.io/v1", kind="Lease", plural="leases")

KINDS: dict[tuple[str, str], Kind] = {
    (kind.api_version, kind.kind): kind
    for kind in (
        WORKSPACE,
        NODE_CLAIM,
        NODE,
        POD,
        SERVICE,
        DEPLOYMENT,
        CONFIG_MAP,
        REPLICA_SET,
        JOB,
        NETWORK_POLICY,
        EVENT,
        POD_EVENT,
        DEFINITION,
        LEASE,
    )
}


def kind_of(manifest: Manifest) -> Kind:
    """Look up the kind that a manifest names."""
    return KINDS[manifest["apiVersion"], manifest["kind"]]


def path_of(manifest: Manifest) -> str:
    """Return the path of the object that a manifest describes."""
    metadata = manifest["metadata"]
    return kind_of(manifest).path(namespace=metadata.get("namespace"), name=metadata["name"])
