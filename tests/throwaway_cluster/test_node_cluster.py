"""
A real cluster with a real node: up, used, and gone without a trace.

Needs root and containerd; the host is compared before and after.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import namespaces, network, node_cluster
from tests.cluster.machine import cgroup_of
from tests.cluster.node_cluster import NodeCluster
from tests.cluster.node_files import Taint
from tests.cluster.surroundings import clusters_directory

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="real nodes need root"),
    pytest.mark.timeout(300),
]


# Where a machine's mounts would show if they got out; others mount below /tmp and /var/lib too.
MOUNT_POINTS = ("/run", "/var/log", "/sys", "/proc", "/etc", "/opt")


def lines(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed lists
    return sorted(line for line in done.stdout.splitlines() if not line.startswith("#"))


def links(cluster: Path) -> list[str]:
    """The host's interfaces, without those of other clusters."""
    found = sorted(Path("/sys/class/net").iterdir())
    aliases = {str(cluster), ""}
    return [link.name for link in found if (link / "ifalias").read_text().strip() in aliases]


def host_state(cluster: Path) -> dict[str, list[str]]:
    """Everything of the host that a cluster could leave something in."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return {
        "processes": [str(pid) for pid in namespaces.members(cluster, set())],
        "mounts": [at for at in mounts if at.startswith((str(cluster), *MOUNT_POINTS))],
        "namespaces": lines("ip", "netns", "list"),
        "links": links(cluster),
        "routes": [route for route in lines("ip", "route") if "dev atelier" not in route],
        "control groups": [
            str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{cgroup_of(cluster)}")
        ],
        "firewall": lines("iptables-save", "-t", "filter") + lines("iptables-save", "-t", "nat"),
        "folders": [
            str(path)
            for parent in ("/run", "/var/lib", "/var/log", "/etc/cni", "/opt/cni")
            for path in sorted(Path(parent).glob("*"))
        ],
        "cluster": [str(cluster)] if cluster.exists() else [],
    }


@pytest.fixture(scope="module")
def cluster() -> Iterator[NodeCluster]:
    with node_cluster.node_cluster(f"test-{os.getpid()}") as running:
        yield running


def test_the_system_node_is_ready(cluster: NodeCluster) -> None:
    (node,) = cluster.plane.read("get", "nodes")["items"]
    ready = next(each for each in node["status"]["conditions"] if each["type"] == "Ready")
    assert ready["status"] == "True"
    assert node["metadata"]["name"] == "system"


def test_a_node_joins_and_leaves(cluster: NodeCluster) -> None:
    before = host_state(cluster.directory)
    machine = node_cluster.join_node(
        cluster,
        "by-hand",
        labels={"apps": "mistral", "node-role.kubernetes.io/gpu": ""},
        taints=[Taint(key="sku", value="gpu")],
        resources={"nvidia.com/gpu": "2"},
    )
    node = cluster.plane.read("get", "node", "by-hand")
    assert node["metadata"]["labels"].keys() >= {"apps", "node-role.kubernetes.io/gpu"}
    assert node["spec"]["providerID"] == "local:///by-hand"
    # A new node may still carry the taints that the cluster itself gives and takes.
    own = [each for each in node["spec"]["taints"] if not each["key"].startswith("node.k")]
    assert own == [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "2"
    node_cluster.leave_node(cluster, "by-hand")
    assert not machine.folder.exists()
    assert cluster.plane.kubectl("get", "node", "by-hand", check=False).returncode != 0
    assert host_state(cluster.directory)["control groups"] == before["control groups"]


def test_two_clusters_do_not_meet(cluster: NodeCluster) -> None:
    with node_cluster.node_cluster(f"test-{os.getpid()}-other") as other:
        assert other.block != cluster.block
        (node,) = other.plane.read("get", "nodes")["items"]
        assert node["status"]["addresses"][0]["address"] == str(other.block.inside)
    assert cluster.plane.read("get", "nodes")["items"]


def test_down_leaves_nothing() -> None:
    directory = clusters_directory() / f"test-{os.getpid()}-gone"
    before = host_state(directory)
    running = node_cluster.up(directory.name, owned=True)
    assert running.directory == directory
    assert host_state(directory) != before
    node_cluster.down(directory.name)
    assert host_state(directory) == before
    node_cluster.down(directory.name)
    assert host_state(directory) == before


@pytest.mark.parametrize("milestone", ["network.json", "etcd.json", "system-kubelet.json"])
def test_down_leaves_nothing_of_an_up_that_was_killed(milestone: str) -> None:
    directory = clusters_directory() / f"test-{os.getpid()}-killed"
    before = host_state(directory)
    command = f"from tests.cluster import node_cluster; node_cluster.up({directory.name!r})"
    with subprocess.Popen([sys.executable, "-c", command]) as starting:  # noqa: S603 - this interpreter
        while not (directory / "run" / milestone).exists():
            assert starting.poll() is None
        starting.send_signal(signal.SIGKILL)
    node_cluster.down(directory.name)
    assert host_state(directory) == before


def test_a_wire_is_cut_without_a_record_while_its_namespace_still_lives() -> None:
    """The kernel cuts it too, but at a time of its own choice."""
    directory = clusters_directory() / f"test-{os.getpid()}-wire"
    before = host_state(directory)
    command = ["unshare", "--net", "--", "cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as holder:  # noqa: S603 - a fixed list
        here = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{holder.pid}/ns/net").readlink() == here:
            assert holder.poll() is None
        network.connect(holder.pid, str(directory))
        network.disconnect(f"{directory}-of-another")
        assert host_state(directory)["links"] != before["links"]
        network.disconnect(str(directory))
        assert host_state(directory)["links"] == before["links"]
        assert holder.poll() is None


def test_down_leaves_nothing_where_the_records_are_lost() -> None:
    directory = clusters_directory() / f"test-{os.getpid()}-lost"
    before = host_state(directory)
    node_cluster.up(directory.name, owned=True)
    shutil.rmtree(directory / "run")
    for description in directory.glob("*.json"):
        description.unlink()
    node_cluster.down(directory.name)
    assert host_state(directory) == before
