"""
A machine: namespaces, folders and a running containerd, with no kubelet yet.

It is to a node what a booted virtual machine is: something that can hold images before a cluster
knows of it. Its folder is `<cluster>/machines/<name>`; `machine.json` in it keeps its number, which
gives it its pod subnet and ports. Invariant: after `destroy` nothing of it is left, whatever state
it was in.
"""

import json
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import cgroups, container_runtime, namespaces
from tests.cluster.network import Block
from tests.cluster.node_files import (
    CONTAINERD_SOCKET,
    FILES,
    cni_config,
    containerd_config,
    free_number,
)
from tests.cluster.packages import SYSTEM_FOLDERS, find_program
from tests.cluster.processes import Process, start
from tests.cluster.surroundings import environment
from tests.cluster.whole_files import write_whole

DESCRIPTION = "machine.json"
# Where Debian's containernetworking-plugins puts them; other builds use /opt/cni/bin.
CNI_PLUGINS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
CONTAINERD_SECONDS = 30
SECRET_FOLDER_MODE = 0o700


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine of a cluster, running or not."""

    cluster: Path
    name: str
    number: int

    @property
    def folder(self) -> Path:
        """Everything that the machine keeps on disk."""
        return self.cluster / "machines" / self.name

    @property
    def files(self) -> Path:
        """The folder that the machine sees as /run/machine."""
        return self.folder / "run" / FILES.name

    @property
    def cgroup(self) -> str:
        """The parent of its pods' control groups."""
        return f"{cgroup_of(self.cluster)}/{self.name}"

    @property
    def holder(self) -> Process:
        """The process whose end ends the machine."""
        return Process(directory=self.cluster, name=f"{self.name}-machine")

    @property
    def containerd(self) -> Process:
        """The container runtime."""
        return Process(directory=self.cluster, name=f"{self.name}-containerd")

    @property
    def kubelet(self) -> Process:
        """The kubelet, which runs once the machine has joined."""
        return Process(directory=self.cluster, name=f"{self.name}-kubelet")

    def run(self, *command: str | Path) -> str:
        """Run a command inside, to its end, and return what it printed."""
        return namespaces.run_in(namespaces.in_machine(self.holder), command)

    def start(self, process: Process, command: Sequence[str | Path]) -> None:
        """Start a long-running process inside."""
        prefix = namespaces.in_machine(self.holder)
        start(self.cluster, process.name, [*prefix, *command], system_path())


def cgroup_of(cluster: Path) -> str:
    """Return the parent of the control groups of a cluster's machines, named for its folder."""
    return f"atelier-{cluster.name}-{zlib.crc32(str(cluster).encode()):08x}"


def machines(cluster: Path) -> list[Machine]:
    """Return the machines that have a folder, by number."""
    described = [json.loads(path.read_text()) for path in cluster.glob(f"machines/*/{DESCRIPTION}")]
    found = [Machine(cluster=cluster, **each) for each in described]
    return sorted(found, key=lambda machine: machine.number)


def find(cluster: Path, name: str) -> Machine | None:
    """Return the machine of that name, or None."""
    return next((machine for machine in machines(cluster) if machine.name == name), None)


def boot(
    cluster: Path, name: str, block: Block, *, disk: Callable[[Path], None] | None = None
) -> Machine:
    """
    Start a machine and its containerd, without waiting for the latter.

    Args:
        cluster: the cluster's folder.
        name: unique in the cluster.
        block: the cluster's addresses.
        disk: puts a containerd root into the machine's folder (machine_image.py); else it is empty.
    """
    if (left := find(cluster, name)) is not None:
        destroy(left)
    number = free_number((machine.number for machine in machines(cluster)), block)
    machine = Machine(cluster=cluster, name=name, number=number)
    machine.folder.mkdir(mode=SECRET_FOLDER_MODE, parents=True)
    description = machine.folder / DESCRIPTION
    write_whole(description, json.dumps({"name": name, "number": number}))
    cgroups.create(machine.cgroup, cgroups.mounted())
    runtime = container_runtime.chosen(cluster)
    _write_files(machine, block, runtime.shim)
    if disk is not None:
        disk(machine.folder)
    network = Process(directory=cluster, name="network")
    namespaces.hold_machine(cluster, name, network, machine.folder)
    containerd = runtime.containerd or require_program("containerd")
    machine.start(machine.containerd, [containerd, "--config", FILES / "containerd.toml"])
    return machine


def wait_for_containerd(machine: Machine) -> None:
    """Wait until the machine's containerd answers."""
    socket = machine.folder / "run" / CONTAINERD_SOCKET.relative_to("/run")

    def answers() -> bool:
        if not socket.exists():
            return False
        try:
            machine.run("ctr", "version")
        except RuntimeError:
            return False
        return True

    machine.containerd.wait_until(answers, what="ready", deadline_seconds=CONTAINERD_SECONDS)


def destroy(machine: Machine) -> None:
    """End everything in a machine, and remove what it kept."""
    for process in (machine.holder, machine.kubelet, machine.containerd):
        process.kill()
        process.record.unlink(missing_ok=True)
    cgroups.remove(machine.cgroup, cgroups.mounted())
    _remove_bridge(machine)
    shutil.rmtree(machine.folder)


def require_program(name: str) -> Path:
    """Return the path of an installed program, which may be off the PATH of an ordinary shell."""
    found = find_program(name)
    if found is None:
        raise RuntimeError(f"{name} is not installed")
    return found


def system_path() -> dict[str, str]:
    """Return a PATH with the administrators' tools, for programs that look theirs up."""
    return {"PATH": ":".join((environment().get("PATH", ""), *SYSTEM_FOLDERS))}


def _write_files(machine: Machine, block: Block, shim: Path | None) -> None:
    plugins = next((folder for folder in CNI_PLUGINS if folder.exists()), None)
    if plugins is None:
        raise RuntimeError(f"no CNI plugins in {' or '.join(map(str, CNI_PLUGINS))}")
    (machine.files / "cni").mkdir(parents=True)
    config = containerd_config(require_program("runc"), plugins, shim)
    (machine.files / "containerd.toml").write_text(config)
    (machine.files / "cni" / "10-pods.conflist").write_text(cni_config(block, machine.number))
    (machine.files / "resolv.conf").write_text("# no name server\n")


def _remove_bridge(machine: Machine) -> None:
    network = Process(directory=machine.cluster, name="network")
    if network.pid() is not None:
        drop = f"ip link delete pods{machine.number} 2>/dev/null || true"
        namespaces.run_in(namespaces.in_network(network), ["sh", "-c", drop])
