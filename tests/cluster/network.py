"""
The addresses of a node-size cluster, and the wire between its network namespace and the host.

A cluster lives in one network namespace. A veth pair is its only way out, and the namespace's
default route is `unreachable`, so nothing that runs in it reaches anything but the host's end of
the wire; the host gets two routes, to the pods and to the services, which vanish with the wire. The
host's firewall and its sysctls are never touched.

Addresses come from 198.18.0.0/15, which RFC 2544 sets aside for networks that are under test. It is
cut into sixteen blocks, so sixteen clusters fit; a block is taken by creating its interface, which
the kernel grants once, so no lock is needed and a crash leaves nothing to unlock. The interface is
born with a hardware address that says whose it is, so its cluster's end finds it without a record.
"""

import hashlib
import ipaddress
import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

Network = ipaddress.IPv4Network
Address = ipaddress.IPv4Address

PODS = Network("198.18.0.0/16")
SERVICES = Network("198.19.0.0/16")
BLOCK_PREFIX = 20
BLOCKS = 16
# The first four /24 of a block are kept for the wire.
FIRST_POD_SUBNET = 4


class NoFreeBlockError(RuntimeError):
    """Every block of addresses is in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The addresses of one cluster, all derived from the block's index."""

    index: int

    @property
    def interface(self) -> str:
        """The host's end of the wire."""
        return f"atelier{self.index}"

    @property
    def network(self) -> Network:
        """Pods and the wire."""
        return list(PODS.subnets(new_prefix=BLOCK_PREFIX))[self.index]

    @property
    def services(self) -> Network:
        """The range of the services' addresses."""
        return list(SERVICES.subnets(new_prefix=BLOCK_PREFIX))[self.index]

    @property
    def host(self) -> Address:
        """The host, as the cluster sees it."""
        return self.network[1]

    @property
    def inside(self) -> Address:
        """The cluster, as the host sees it: the API server and every node."""
        return self.network[2]

    @property
    def dns(self) -> Address:
        """Where a cluster DNS would answer, if there were one."""
        return self.services[10]

    @property
    def max_nodes(self) -> int:
        """How many nodes have a pod subnet."""
        return len(list(self.network.subnets(new_prefix=24))) - FIRST_POD_SUBNET

    def pods(self, node: int) -> Network:
        """Return the pod subnet of the node with this number, counted from 0."""
        subnets = list(self.network.subnets(new_prefix=24))[FIRST_POD_SUBNET:]
        if node not in range(len(subnets)):
            raise ValueError(f"node {node}: this cluster has pod subnets for {len(subnets)} nodes")
        return subnets[node]


def free_blocks(routes: Iterable[str]) -> list[Block]:
    """Return the blocks that no destination of the host's routing table overlaps."""
    taken = [
        network
        for destination in routes
        if destination != "default" and (network := Network(destination)).prefixlen > 0
    ]
    blocks = (Block(index=index) for index in range(BLOCKS))
    return [
        block
        for block in blocks
        if not any(net.overlaps(block.network) or net.overlaps(block.services) for net in taken)
    ]


def connect(pid: int, owner: str) -> Block:
    """
    Tie the network namespace of a process to the host, in the first block that is free.

    Args:
        pid: of a process in the namespace.
        owner: whose wire it is: `disconnect` finds it by that, and `ip link` shows it as the
            interface's alias, for the person who wonders.

    Raises:
        NoFreeBlockError: sixteen clusters run, or the host routes 198.18.0.0/15 elsewhere.
    """
    for block in free_blocks(_host_routes()):
        wire = ["link", "add", block.interface, "address", hardware_address(owner), "type", "veth"]
        wire += ["peer", "name", "eth0", "netns", str(pid)]
        done = subprocess.run(["ip", *wire], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            _configure(block, pid, owner)
            return block
        if "File exists" not in done.stderr:
            raise RuntimeError(f"ip {' '.join(wire)}: {done.stderr.strip()}")
    raise NoFreeBlockError(
        f"all {BLOCKS} address blocks of {PODS.supernet()} are in use: end a cluster"
        " (`python -m tests.cluster down`), or see `ip route` for who else routes them"
    )


def disconnect(owner: str) -> None:
    """
    Cut the owner's wire if it is still there; the routes go with it.

    The kernel would do it too, some time after the last process of the namespace is gone.
    """
    for interface in _interfaces_of(owner):
        subprocess.run(["ip", "link", "del", interface], capture_output=True, check=False)


def hardware_address(owner: str) -> str:
    """Return the address of an owner's interface, of those that belong to no manufacturer."""
    return ":".join(
        ["02", *(f"{byte:02x}" for byte in hashlib.sha256(owner.encode()).digest()[:5])]
    )


def _interfaces_of(owner: str) -> list[str]:
    listing = subprocess.run(
        ["ip", "-json", "link", "show", "type", "veth"], check=True, capture_output=True, text=True
    ).stdout
    mine = hardware_address(owner)
    return [link["ifname"] for link in json.loads(listing or "[]") if link.get("address") == mine]


def _configure(block: Block, pid: int, owner: str) -> None:
    inside = ["nsenter", f"--net=/proc/{pid}/ns/net"]
    for command in (
        ["ip", "link", "set", block.interface, "alias", owner],
        [*inside, "ip", "address", "add", f"{block.inside}/30", "dev", "eth0"],
        [*inside, "ip", "link", "set", "eth0", "up"],
        [*inside, "ip", "link", "set", "lo", "up"],
        [*inside, "ip", "route", "add", "unreachable", "default"],
        # Here without a listener, so that a question about a name is refused and not waited for.
        [*inside, "ip", "address", "add", f"{block.dns}/32", "dev", "lo"],
        [*inside, "sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1"],
        ["ip", "address", "add", f"{block.host}/30", "dev", block.interface],
        ["ip", "link", "set", block.interface, "up"],
        ["ip", "route", "add", str(block.services), "via", str(block.inside)],
        ["ip", "route", "add", str(block.network), "via", str(block.inside)],
    ):
        subprocess.run(command, check=True, capture_output=True, text=True)


def _host_routes() -> list[str]:
    listing = subprocess.run(
        ["ip", "-json", "-4", "route", "show"], check=True, capture_output=True, text=True
    ).stdout
    return [route["dst"] for route in json.loads(listing)]
