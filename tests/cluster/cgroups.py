"""
Control groups of a cluster's nodes, on a host with cgroup v1, v2 or both.

The kubelet keeps its pods below a `cgroupRoot` that has to exist in every hierarchy before it
starts. Each node gets `/atelier-<cluster>/<node>`. In v1 a new cpuset is empty until its files are
filled, and a process cannot join an empty one; in v2 a group's controllers are off until its parent
turns them on. Invariant: `remove` leaves no folder of the given name in any hierarchy.
"""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
POLL_SECONDS = 0.05
# A v1 cpuset takes these from its parent by hand. Source: cpuset(7).
CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")
# What the kubelet wants in v2. Source: getSupportedUnifiedControllers, kubernetes/pkg/kubelet/cm.
UNIFIED_CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "hugetlb")


class BusyGroupError(RuntimeError):
    """A control group still has processes in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """A mounted tree of control groups."""

    root: Path
    unified: bool


def hierarchies(mountinfo: str) -> list[Hierarchy]:
    """Return the hierarchies of a `/proc/self/mountinfo`, each once, whatever is mounted twice."""
    found: dict[str, Hierarchy] = {}
    for line in mountinfo.splitlines():
        # 36 35 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu. Source: proc_pid_mountinfo(5).
        left, _, right = line.partition(" - ")
        kind = right.split()[0]
        device, mount_point = left.split()[2], left.split()[4]
        if kind in {"cgroup", "cgroup2"}:
            hierarchy = Hierarchy(root=Path(mount_point), unified=kind == "cgroup2")
            found.setdefault(device, hierarchy)
    return list(found.values())


def mounted() -> list[Hierarchy]:
    """Return the hierarchies of this host."""
    return hierarchies(MOUNTS.read_text())


def create(name: str, trees: list[Hierarchy]) -> None:
    """Make the group `name` (which may be a path) ready for processes in every hierarchy."""
    for tree in trees:
        group = tree.root
        for part in Path(name).parts:
            if tree.unified:
                _turn_controllers_on(group)
            group = group / part
            group.mkdir(exist_ok=True)
            _fill_cpuset(group)
        if tree.unified:
            _turn_controllers_on(group)


def remove(name: str, trees: list[Hierarchy], *, deadline_seconds: float = 10) -> None:
    """
    Remove the group and everything below it; killed processes may take a moment to leave.

    Raises:
        BusyGroupError: a process is still in it after the deadline.
    """
    give_up = time.monotonic() + deadline_seconds
    for tree in trees:
        while not _removed(tree.root / name):
            if time.monotonic() > give_up:
                raise BusyGroupError(f"{tree.root / name} has processes: {_members(tree, name)}")
            time.sleep(POLL_SECONDS)


def _removed(group: Path) -> bool:
    folders = [path for path in group.rglob("*") if path.is_dir()] if group.exists() else []
    for folder in [*sorted(folders, reverse=True), group]:
        with contextlib.suppress(OSError):
            folder.rmdir()
    return not group.exists()


def _members(tree: Hierarchy, name: str) -> str:
    return " ".join(procs.read_text().strip() for procs in (tree.root / name).rglob("cgroup.procs"))


def _fill_cpuset(group: Path) -> None:
    for name in CPUSET_FILES:
        ours, above = group / name, group.parent / name
        if ours.exists() and above.exists() and not ours.read_text().strip():
            ours.write_text(above.read_text())


def _turn_controllers_on(group: Path) -> None:
    """Give the group's children what the group itself has; in a hybrid v2 tree that is nothing."""
    available = (group / "cgroup.controllers").read_text().split()
    for controller in UNIFIED_CONTROLLERS:
        if controller in available:
            # EBUSY where the group holds processes itself; the kubelet then names what it misses.
            with contextlib.suppress(OSError):
                (group / "cgroup.subtree_control").write_text(f"+{controller}")
