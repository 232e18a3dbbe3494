"""
A Kubernetes with real nodes on one Linux host: control plane, kube-proxy, and machines that join.

Everything runs in one network namespace (network.py, namespaces.py). `up` starts it with one node,
`system`; further nodes come and go by `join` and `leave`, or because a NodeClaim asks for them
(machine_provider.py). Invariant: `down` leaves no process, mount, interface, control group or file,
from whatever state, also one that a killed `up` left behind.

Needs root, containerd, runc and the CNI plugins; the host's firewall and sysctls stay as they are.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import cgroups, folders, machine_image, namespaces, network
from tests.cluster import machine as machines
from tests.cluster.api_server import Endpoint, start_api_server, start_controller_manager
from tests.cluster.binaries import ensure
from tests.cluster.control_plane import ControlPlane
from tests.cluster.image_archive import write_sandbox_image
from tests.cluster.images_import import import_image
from tests.cluster.karpenter import karpenter_crds
from tests.cluster.machine import Machine
from tests.cluster.network import Block
from tests.cluster.node import join, leave
from tests.cluster.node_credentials import KUBELET_ACCESS, api_server_arguments, make_authority
from tests.cluster.node_files import Taint
from tests.cluster.packages import require_debian_packages
from tests.cluster.processes import Process, start
from tests.cluster.surroundings import clusters_directory
from tests.cluster.whole_files import write_whole

SIZE = "node"
SYSTEM_NODE = "system"
ADDRESSES = "addresses.json"
PROVIDER = "tests.cluster.machine_provider"
ROOT = Path(__file__).parents[2]
PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
# Debian package -> a program or file of it.
PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "iproute2": "ip",
    "openssl": "openssl",
    "procps": "sysctl",
    "util-linux": "nsenter",
}


class CannotRunNodesError(RuntimeError):
    """This host or user cannot run real nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCluster:
    """A running cluster with real nodes."""

    plane: ControlPlane
    block: Block

    @property
    def directory(self) -> Path:
        """The folder that holds all of it."""
        return self.plane.directory

    def machine(self, name: str) -> Machine:
        """Return a machine by its name, which is also its node's."""
        found = machines.find(self.directory, name)
        if found is None:
            known = [machine.name for machine in machines.machines(self.directory)]
            raise KeyError(f"no machine {name!r} in {self.plane.name}; there are {known}")
        return found

    def service_url(self, namespace: str, name: str) -> str:
        """
        Return the URL of a Service's first port, for processes on this host.

        The host has a route to the services' addresses, where kube-proxy picks a pod.
        """
        spec = self.plane.read("get", "service", name, "-n", namespace)["spec"]
        return f"http://{spec['clusterIP']}:{spec['ports'][0]['port']}"


def up(name: str, *, owned: bool = False) -> NodeCluster:
    """
    Start a cluster with one real node, `system`, and wait until that is Ready.

    Args:
        name: unique on this machine.
        owned: whether it may be swept once this process is gone.

    Raises:
        CannotRunNodesError: not root, or not on Linux.
        ClusterExistsError: the name is taken.
        NotReadyError: a component did not come up; the message has its last words.
    """
    require_host()
    programs = ensure(PROGRAMS)
    sweep()
    directory = folders.create(name, size=SIZE, owned=owned)
    try:
        holder = namespaces.hold_network(directory)
        block = network.connect(namespaces.pid_of(holder), str(directory))
        write_whole(directory / ADDRESSES, json.dumps({"index": block.index}))
        make_authority(directory)
        machine = machines.boot(directory, SYSTEM_NODE, block)
        prefix = tuple(namespaces.in_network(holder))
        endpoint = endpoint_of(name, directory, block, prefix)
        start_api_server(endpoint, api_server_arguments(directory))
        plane = ControlPlane(name=name, directory=directory, server=endpoint.server)
        start_controller_manager(endpoint)
        scheduler = [str(programs["kube-scheduler"]), f"--kubeconfig={endpoint.kubeconfig}"]
        start(directory, "kube-scheduler", [*prefix, *scheduler, "--leader-elect=false"])
        plane.apply(KUBELET_ACCESS)
        prepare(machine)
        _start_proxy(directory, endpoint, block, programs["kube-proxy"])
        cluster = NodeCluster(plane=plane, block=block)
        start_machine_provider(cluster)
        join(plane, machine, block, labels={"node-role.kubernetes.io/system": ""})
    except BaseException:
        down(name)
        raise
    return cluster


def endpoint_of(name: str, directory: Path, block: Block, prefix: tuple[str, ...]) -> Endpoint:
    """Return where the API server of a node-size cluster is."""
    return Endpoint(
        directory=directory,
        context=f"atelier-{name}",
        host=str(block.inside),
        port=6443,
        etcd_ports=(2379, 2380),
        bind_address="0.0.0.0",  # noqa: S104 - all of a namespace that only the host can reach
        service_range=str(block.services),
        publish_endpoint=True,
        prefix=prefix,
    )


def attach(name: str) -> NodeCluster:
    """Return a cluster that runs already."""
    found = folders.find(name)
    if found.size != SIZE:
        raise CannotRunNodesError(
            f"cluster {name!r} is of size {found.size}: its nodes are not this host's, so none can"
            f" join on demand; start one of size {SIZE}, or use a node provisioner of its own"
        )
    block = Block(**json.loads((found.directory / ADDRESSES).read_text()))
    endpoint = endpoint_of(name, found.directory, block, ())
    plane = ControlPlane(name=name, directory=found.directory, server=endpoint.server)
    return NodeCluster(plane=plane, block=block)


def prepare(machine: Machine) -> None:
    """Wait for a machine's containerd and give it the image that every pod needs."""
    archive = machine.files / "sandbox.tar"
    write_sandbox_image(archive)
    machines.wait_for_containerd(machine)
    import_image(machine, archive)


def boot_machine(cluster: NodeCluster, name: str) -> Machine:
    """Boot a machine from the cluster's machine image if it has one, until containerd answers."""
    image = machine_image.chosen(cluster.directory)
    disk = image.copy_to if image else None
    machine = machines.boot(cluster.directory, name, cluster.block, disk=disk)
    if image is None:
        prepare(machine)
    else:
        machines.wait_for_containerd(machine)
    return machine


def join_node(
    cluster: NodeCluster,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Taint] = (),
    resources: Mapping[str, str] | None = None,
) -> Machine:
    """
    Let another real node join, by hand, and wait until it is Ready.

    Args:
        cluster: that it joins.
        name: of the node and of its machine.
        labels: any; those that a kubelet may not set are set through the API.
        taints: that it registers with.
        resources: simulated, e.g. {"nvidia.com/gpu": "1"}.
    """
    machine = boot_machine(cluster, name)
    plane, block = cluster.plane, cluster.block
    join(plane, machine, block, labels=labels, taints=taints, resources=resources)
    return machine


def leave_node(cluster: NodeCluster, name: str) -> None:
    """Drain a node, forget it, and leave nothing of its machine."""
    leave(cluster.plane, cluster.machine(name))


def start_machine_provider(cluster: NodeCluster) -> None:
    """Make NodeClaims work: Karpenter's definitions, and the local machine provider."""
    cluster.plane.apply(karpenter_crds()[0].parent)
    holder = Process(directory=cluster.directory, name="network")
    command = [sys.executable, "-m", PROVIDER, "--name", cluster.plane.name]
    prefix = [*namespaces.in_network(holder), "env", "--chdir", str(ROOT)]
    provider = start(
        cluster.directory, "machine-provider", [*prefix, *command], machines.system_path()
    )
    provider.wait_until(
        lambda: '"serving"' in provider.log_tail(), what="serving", deadline_seconds=30
    )


def down(name: str) -> None:
    """End a cluster and leave nothing of it; also one that is half there, or not there at all."""
    directory = clusters_directory() / name
    namespaces.end_members(directory)
    cgroups.remove(machines.cgroup_of(directory), cgroups.mounted())
    network.disconnect(str(directory))
    if directory.exists():
        folders.remove(directory)


def sweep() -> list[str]:
    """End clusters of this size whose owners are gone; return their names."""
    gone = [each.name for each in folders.clusters() if each.size == SIZE and each.is_abandoned()]
    for name in gone:
        down(name)
    return gone


@contextmanager
def node_cluster(name: str | None = None) -> Iterator[NodeCluster]:
    """Run a node-size cluster for the length of a `with`."""
    cluster = up(name or f"test-{os.getpid()}", owned=True)
    try:
        yield cluster
    finally:
        down(cluster.plane.name)


def require_host() -> None:
    """Check that real nodes can run here, installing what is missing where that is possible."""
    if os.geteuid() != 0:
        raise CannotRunNodesError(
            "real nodes need root (namespaces, mounts, control groups): run this as root, or name a"
            " cluster of your own by KUBECONFIG, or use kind"
        )
    require_debian_packages(PACKAGES)


def _start_proxy(directory: Path, endpoint: Endpoint, block: Block, program: Path) -> None:
    arguments = [
        f"--kubeconfig={endpoint.kubeconfig}",
        f"--hostname-override={SYSTEM_NODE}",
        f"--cluster-cidr={block.network}",
        "--proxy-mode=iptables",
        "--conntrack-max-per-core=0",  # the limit belongs to the host, not to a namespace
    ]
    command = [*endpoint.prefix, str(program), *arguments]
    start(directory, "kube-proxy", command, machines.system_path())
