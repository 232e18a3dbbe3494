"""A cluster is its folder: found by name, swept once its owner is gone, removed whole."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import disk, folders
from tests.cluster.credentials import write_secret
from tests.cluster.folders import ClusterExistsError, NoSuchClusterError
from tests.cluster.ports import FIRST, LAST, free_ports
from tests.cluster.processes import Process, processes, start
from tests.cluster.surroundings import cache_directory, clusters_directory

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))


def test_a_name_is_taken_once() -> None:
    folders.create("x", size="node", owned=False)
    with pytest.raises(ClusterExistsError, match="down --name x"):
        folders.create("x", size="node", owned=False)


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(NoSuchClusterError, match="no cluster 'x'"):
        folders.find("x")


def test_removal_kills_what_runs_and_deletes_the_folder() -> None:
    directory = folders.create("x", size="node", owned=False)
    process = start(directory, "sleeper", ["sleep", "60"])
    assert process.pid() is not None
    folders.remove(directory)
    assert not directory.exists()
    assert process.pid() is None


def test_the_cluster_of_a_killed_process_is_swept_and_no_other() -> None:
    code = (
        "import os; from tests.cluster import folders; from tests.cluster.processes import start;"
        "start(folders.create('orphan', size='s', owned=True), 'sleeper', ['sleep', '60']);"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)  # noqa: S603 - our code
    for name, size, owned in (("mine", "s", True), ("kept", "s", False), ("other", "t", True)):
        folders.create(name, size=size, owned=owned)
    orphan = folders.find("orphan")
    (sleeper,) = processes(orphan.directory)
    assert orphan.is_abandoned()
    assert sleeper.pid() is not None
    assert folders.sweep("s") == ["orphan"]
    assert sleeper.pid() is None
    assert [cluster.name for cluster in folders.clusters()] == ["kept", "mine", "other"]


def test_the_cluster_of_another_container_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    folders.create("theirs", size="s", owned=True)
    monkeypatch.setattr(folders, "process_identity", lambda _: None)
    assert folders.find("theirs").is_abandoned()
    monkeypatch.setattr(folders, "place", lambda: "elsewhere pid:[1]")
    assert not folders.find("theirs").is_abandoned()
    assert folders.sweep("s") == []


def test_folders_and_secrets_are_for_this_user_only(tmp_path: Path) -> None:
    directory = folders.create("x", size="s", owned=False)
    write_secret(tmp_path / "token", "t")
    modes = [path.stat().st_mode & 0o777 for path in (clusters_directory(), directory)]
    assert modes == [0o700, 0o700]
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


def test_a_folder_without_description_is_not_taken_for_a_cluster() -> None:
    (clusters_directory() / "half").mkdir()
    assert folders.clusters() == []


def test_ports_are_free_different_and_out_of_the_kernels_way() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert all(FIRST <= port <= LAST for port in ports)


def test_disk_is_measured_and_the_build_cache_can_go() -> None:
    build = cache_directory() / "go" / "build"
    build.mkdir(parents=True)
    (build / "object").write_bytes(b"x" * 100_000)
    assert disk.used_bytes(build) >= 100_000
    assert any("go/build" in line for line in disk.report())
    assert disk.trim() >= 100_000
    assert not build.exists()
    assert disk.trim() == 0


def test_a_process_of_no_folder_does_not_run(tmp_path: Path) -> None:
    assert Process(directory=tmp_path, name="nothing").pid() is None
