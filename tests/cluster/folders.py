"""
One folder per cluster: what it is, who holds it, and how to be rid of it.

`cluster.json` in the folder says the size and the owner. A cluster of a test run is owned by that
process and is swept once the process is gone (a killed pytest leaves nothing for long); one that
`up` made has no owner and stays until `down`.
"""

import json
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.processes import process_identity, processes
from tests.cluster.surroundings import clusters_directory
from tests.cluster.whole_files import write_whole

DESCRIPTION = "cluster.json"


class ClusterExistsError(RuntimeError):
    """A cluster of that name is there already."""


class NoSuchClusterError(RuntimeError):
    """There is no cluster of that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster's folder and what it says about itself."""

    name: str
    size: str
    directory: Path
    owner_pid: int | None
    owner_identity: str | None
    owner_place: str = ""

    def is_abandoned(self) -> bool:
        """Tell whether the process that owned it is gone."""
        if self.owner_pid is None or self.owner_place != place():
            return False
        return process_identity(self.owner_pid) != self.owner_identity


def place() -> str:
    """Return where our pids mean something: containers and hosts may share a cache folder."""
    return f"{os.uname().nodename} {Path('/proc/self/ns/pid').readlink()}"


def create(name: str, *, size: str, owned: bool) -> Path:
    """
    Make the folder of a new cluster.

    Raises:
        ClusterExistsError: the name is taken.
    """
    directory = clusters_directory() / name
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        raise ClusterExistsError(
            f"cluster {name!r} is there already ({directory});"
            f" `python -m tests.cluster down --name {name}` ends it"
        ) from None
    pid = os.getpid() if owned else None
    description = {
        "size": size,
        "owner_pid": pid,
        "owner_identity": process_identity(pid) if pid is not None else None,
        "owner_place": place(),
    }
    write_whole(directory / DESCRIPTION, json.dumps(description))
    return directory


def find(name: str) -> Cluster:
    """
    Return the cluster of that name.

    Raises:
        NoSuchClusterError: there is none.
    """
    directory = clusters_directory() / name
    if not directory.is_dir():
        raise NoSuchClusterError(f"no cluster {name!r} below {clusters_directory()}")
    described = json.loads((directory / DESCRIPTION).read_text())
    return Cluster(name=name, directory=directory, **described)


def clusters() -> list[Cluster]:
    """Return all clusters that have a folder, by name."""
    found = []
    for path in sorted(clusters_directory().glob(f"*/{DESCRIPTION}")):
        with suppress(FileNotFoundError, NoSuchClusterError):  # another process just removed it
            found.append(find(path.parent.name))
    return found


def remove(directory: Path) -> None:
    """Kill every process of a cluster, the youngest first, and delete its folder."""
    for process in processes(directory):
        process.kill()  # nothing of it is kept, so there is nothing to be gentle with
    _delete(directory)


def sweep(size: str) -> list[str]:
    """Remove abandoned clusters of a size; return their names."""
    abandoned = [each for each in clusters() if each.size == size and each.is_abandoned()]
    for cluster in abandoned:
        remove(cluster.directory)
    return [cluster.name for cluster in abandoned]


def _delete(directory: Path, attempts: int = 5) -> None:
    """Delete a folder, again if a dying process still wrote into it."""
    for attempt in range(attempts):
        shutil.rmtree(directory, ignore_errors=attempt + 1 < attempts)
        if not directory.exists():
            return
        time.sleep(0.1)
