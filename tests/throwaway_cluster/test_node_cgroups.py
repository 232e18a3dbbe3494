"""Control groups, on folders that look like cgroup v1 and v2."""

from pathlib import Path

import pytest

from tests.cluster import cgroups
from tests.cluster.cgroups import Hierarchy

HYBRID = """\
25 30 0:23 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
26 25 0:24 / /sys/fs/cgroup/cpu rw,relatime shared:4 - cgroup cgroup rw,cpu
27 25 0:25 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
28 25 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
29 99 0:24 / /mnt/again rw,relatime - cgroup cgroup rw,cpu
"""


def test_each_hierarchy_is_found_once() -> None:
    assert cgroups.hierarchies(HYBRID) == [
        Hierarchy(root=Path("/sys/fs/cgroup/cpu"), unified=False),
        Hierarchy(root=Path("/sys/fs/cgroup/cpuset"), unified=False),
        Hierarchy(root=Path("/sys/fs/cgroup/unified"), unified=True),
    ]


def test_this_host_has_some() -> None:
    assert all(tree.root.is_dir() for tree in cgroups.mounted())


def test_a_v1_group_is_made_at_every_level_and_removed_again(tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    trees = [Hierarchy(root=tmp_path, unified=False)]
    cgroups.create("atelier-x/gpu", trees)
    cgroups.create("atelier-x/system", trees)
    assert (tmp_path / "atelier-x" / "gpu").is_dir()
    cgroups.remove("atelier-x/gpu", trees)
    assert not (tmp_path / "atelier-x" / "gpu").exists()
    assert (tmp_path / "atelier-x" / "system").is_dir()
    cgroups.remove("atelier-x", trees)
    cgroups.remove("atelier-x", trees)
    assert [path.name for path in tmp_path.iterdir()] == ["others"]


def test_an_empty_cpuset_takes_what_its_parent_has(tmp_path: Path) -> None:
    group = tmp_path / "group"
    group.mkdir()
    for folder, cpus in ((tmp_path, "0-1\n"), (group, "\n")):
        (folder / "cpuset.cpus").write_text(cpus)
    cgroups._fill_cpuset(group)
    assert (group / "cpuset.cpus").read_text() == "0-1\n"
    (tmp_path / "cpuset.cpus").write_text("0-3\n")
    cgroups._fill_cpuset(group)
    assert (group / "cpuset.cpus").read_text() == "0-1\n"


def test_a_v2_group_passes_on_what_the_kubelet_wants_and_it_has(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu io memory\n")
    (tmp_path / "cgroup.subtree_control").write_text("")
    cgroups._turn_controllers_on(tmp_path)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory"  # the last of two writes


def test_a_group_with_processes_is_named_with_them(tmp_path: Path) -> None:
    group = tmp_path / "atelier-x"
    group.mkdir()
    (group / "cgroup.procs").write_text("4711\n")
    with pytest.raises(cgroups.BusyGroupError, match="atelier-x has processes: 4711"):
        cgroups.remove("atelier-x", [Hierarchy(root=tmp_path, unified=False)], deadline_seconds=0)
