"""
A machine becomes a node (its kubelet starts), and stops being one.

`join` and `leave` are what an administrator does by hand; the local machine provider
(machine_provider.py) takes the same steps one by one, as the cloud and Karpenter would.
"""

from collections.abc import Mapping, Sequence

from tests.cluster import machine as machines
from tests.cluster.binaries import binary
from tests.cluster.control_plane import ControlPlane
from tests.cluster.machine import Machine
from tests.cluster.network import Block
from tests.cluster.node_credentials import authority, issue, write_node_kubeconfig
from tests.cluster.node_files import (
    FILES,
    KubeletSettings,
    Taint,
    kubelet_config,
    node_labels,
    other_labels,
)

READY_SECONDS = 60
DRAIN_SECONDS = 40
PROVIDER_SCHEME = "local"


def provider_id(name: str) -> str:
    """Return the identity of a machine towards Kubernetes."""
    return f"{PROVIDER_SCHEME}:///{name}"


def start_kubelet(
    plane: ControlPlane,
    machine: Machine,
    block: Block,
    *,
    labels: Mapping[str, str],
    taints: Sequence[Taint] = (),
) -> None:
    """Start the kubelet of a machine; its node appears some seconds later."""
    settings = KubeletSettings(
        number=machine.number,
        block=block,
        cgroup=machine.cgroup,
        provider_id=provider_id(machine.name),
        taints=tuple(taints),
    )
    (machine.files / "kubelet.yaml").write_text(kubelet_config(settings))
    nodes_authority = authority(plane.directory).certificate
    (machine.files / "ca.crt").write_bytes(nodes_authority.read_bytes())
    subject = f"/O=system:nodes/CN=system:node:{machine.name}"
    write_node_kubeconfig(
        machine.files / "kubeconfig",
        issue(plane.directory, machine.name, subject),
        server=plane.server,
        certificate=plane.certificate,
    )
    command = [
        str(binary("kubelet")),
        f"--config={FILES / 'kubelet.yaml'}",
        f"--kubeconfig={FILES / 'kubeconfig'}",
        f"--hostname-override={machine.name}",
        f"--node-ip={block.inside}",
    ]
    if own := node_labels(labels):
        command.append(f"--node-labels={own}")
    machine.start(machine.kubelet, command)


def join(
    plane: ControlPlane,
    machine: Machine,
    block: Block,
    *,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Taint] = (),
    resources: Mapping[str, str] | None = None,
) -> None:
    """
    Make a machine a node, and wait until it is Ready.

    Args:
        plane: the cluster's API.
        machine: booted, its containerd running.
        block: the cluster's addresses.
        labels: of the node, any.
        taints: that it registers with.
        resources: simulated extended resources, e.g. {"nvidia.com/gpu": "1"}.
    """
    wanted = labels or {}
    start_kubelet(plane, machine, block, labels=wanted, taints=taints)
    wait_until_registered(plane, machine)
    if others := other_labels(wanted):
        pairs = [f"{key}={value}" for key, value in others.items()]
        plane.kubectl("label", "--overwrite", "node", machine.name, *pairs)
    if resources:
        advertise(plane, machine.name, resources)
    condition = ["--for=condition=Ready", f"--timeout={READY_SECONDS}s"]
    plane.kubectl("wait", *condition, f"node/{machine.name}")


def wait_until_registered(plane: ControlPlane, machine: Machine) -> None:
    """Wait until the kubelet has made its Node object."""

    def registered() -> bool:
        return plane.kubectl("get", "node", machine.name, check=False).returncode == 0

    machine.kubelet.wait_until(registered, what="registered", deadline_seconds=READY_SECONDS)


def advertise(plane: ControlPlane, node: str, resources: Mapping[str, str]) -> None:
    """Give a node extended resources that no device stands behind: a *simulated* GPU."""
    amounts = ",".join(f'"{name}":"{amount}"' for name, amount in resources.items())
    patch = f'{{"status":{{"capacity":{{{amounts}}},"allocatable":{{{amounts}}}}}}}'
    plane.kubectl("patch", "node", node, "--subresource=status", "--type=merge", "-p", patch)


def leave(plane: ControlPlane, machine: Machine) -> None:
    """Drain a node and end its machine."""
    drain(plane, machine.name)
    end(plane, machine)


def end(plane: ControlPlane, machine: Machine) -> None:
    """Take a node away with all that runs on it, and end its machine."""
    machine.kubelet.kill()
    plane.kubectl("delete", "node", machine.name, "--ignore-not-found")
    machines.destroy(machine)


def drain(plane: ControlPlane, node: str) -> None:
    """Cordon a node and evict its pods; those that do not go in time die with the machine."""
    plane.kubectl(
        *("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force"),
        f"--timeout={DRAIN_SECONDS}s",
        check=False,
    )
