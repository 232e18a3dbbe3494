"""
What a machine's containerd, CNI and kubelet are configured with. Pure: arguments in, text out.

Paths are those of a real machine (/run, /var/lib, /etc-like files below /run), since every machine
has its own mounted there (namespaces.py). Sources: containerd's docs/cri/config.md, the CNI
specification, the kubelet.config.k8s.io/v1beta1 reference.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.image_archive import SANDBOX_IMAGE
from tests.cluster.network import Block

FILES = Path("/run/machine")
CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
# Two kubelets share the cluster's network namespace, so each has ports of its own.
KUBELET_PORT, HEALTH_PORT = 10250, 10350
# Labels in these domains are refused from a kubelet unless they are in the list below it.
# Source: k8s.io/kubernetes/pkg/apis/core/v1/well_known_labels + kubelet/pkg/apis/well_known_labels.
RESERVED_DOMAINS = ("kubernetes.io", "k8s.io")
KUBELET_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
KUBELET_LABELS = frozenset(
    {
        "kubernetes.io/arch",
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """A node's taint."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"

    def manifest(self) -> dict[str, str]:
        """Return the taint as it stands in a node's spec."""
        return {"key": self.key, "value": self.value, "effect": self.effect}


def containerd_config(runc: Path, cni_plugins: Path, shim: Path | None = None) -> str:
    """
    Return containerd's configuration file, which its versions 1 and 2 read.

    Args:
        runc: starts containers.
        cni_plugins: folder of the network plugins.
        shim: stands between containerd and a container; none for the one on the PATH.
    """
    runtime_path = f'\n  runtime_path = "{shim}"' if shim else ""
    # restrict_oom_score_adj: an unprivileged parent may not lower the score; asking would fail.
    return f"""\
version = 2
root = "/var/lib/containerd"
state = "{CONTAINERD_SOCKET.parent}"
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "{SANDBOX_IMAGE}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_plugins}"
    conf_dir = "{FILES / "cni"}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"{runtime_path}
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    BinaryName = "{runc}"
"""


def cni_config(block: Block, number: int) -> str:
    """Return the pod network of the node with this number: a bridge in the cluster's namespace."""
    ranges = [[{"subnet": str(block.pods(number))}]]
    bridge = {
        "type": "bridge",
        "bridge": f"pods{number}",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]},
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}, indent=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletSettings:
    """What differs between the kubelets of a cluster."""

    number: int
    block: Block
    cgroup: str
    provider_id: str
    taints: tuple[Taint, ...] = ()

    @property
    def port(self) -> int:
        """Where the API server reaches this kubelet for logs and exec."""
        return KUBELET_PORT + self.number


def kubelet_config(settings: KubeletSettings) -> str:
    """Return the kubelet's configuration file (JSON is YAML)."""
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(FILES / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{settings.cgroup}",
            # Nothing answers there: names do not resolve, and say so at once (docs/cluster.md).
            "clusterDNS": [str(settings.block.dns)],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "enforceNodeAllocatable": [],
            # The disk is the host's: only its very end is this kubelet's business, and images
            # that cannot be pulled again are never collected.
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "failCgroupV1": False,
            "failSwapOn": False,
            "healthzPort": HEALTH_PORT + settings.number,
            "port": settings.port,
            "readOnlyPort": 0,
            "providerID": settings.provider_id,
            "registerWithTaints": [taint.manifest() for taint in settings.taints],
            "resolvConf": str(FILES / "resolv.conf"),
            "serializeImagePulls": False,
            "shutdownGracePeriod": "0s",
            "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        },
        indent=1,
    )


def kubelet_may_set(label: str) -> bool:
    """Say whether a kubelet may put this label on its own node."""
    domain, _, _name = label.rpartition("/")
    if not any(_within(domain, reserved) for reserved in RESERVED_DOMAINS):
        return True
    return label in KUBELET_LABELS or any(_within(domain, own) for own in KUBELET_DOMAINS)


def node_labels(labels: Mapping[str, str]) -> str:
    """Return the value of `--node-labels`: those that the kubelet may set itself."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(filter(kubelet_may_set, labels)))


def other_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that have to be set through the API."""
    return {key: value for key, value in labels.items() if not kubelet_may_set(key)}


def free_number(taken: Iterable[int], block: Block) -> int:
    """
    Return the lowest number that no node has.

    Raises:
        ValueError: every pod subnet of the block has its node.
    """
    used = set(taken)
    for number in range(block.max_nodes):
        if number not in used:
            return number
    raise ValueError(f"{len(used)} nodes are there: this cluster has room for {block.max_nodes}")


def _within(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith(f".{parent}")
