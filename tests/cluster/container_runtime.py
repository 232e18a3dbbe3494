"""
Which containerd the machines of a cluster start: Debian's, or version 2, built from its Go module.

Debian 12 has containerd 1.6, which knows nothing of image volumes: a container that mounts one is
not made. They came with containerd 2.1, so a test that wants them chooses version 2 for the
machines that join from then on. Disks are read by both.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster.binaries import ensure
from tests.cluster.whole_files import write_whole

CHOSEN = "container-runtime.json"
PROGRAMS = ("containerd", "containerd-shim-runc-v2")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRuntime:
    """
    The programs of a containerd.

    Attributes:
        containerd: The daemon; none for the installed one.
        shim: Its process beside each container; none for the one on the PATH.
    """

    containerd: Path | None = None
    shim: Path | None = None


def choose_version_2(cluster: Path) -> None:
    """Let the machines that join from now on run containerd 2, built on first use (minutes)."""
    programs = ensure(PROGRAMS)
    runtime = ContainerRuntime(containerd=programs[PROGRAMS[0]], shim=programs[PROGRAMS[1]])
    words = {key: str(path) for key, path in asdict(runtime).items()}
    write_whole(cluster / CHOSEN, json.dumps(words))


def chosen(cluster: Path) -> ContainerRuntime:
    """Return what was chosen for a cluster; nothing was: the installed containerd."""
    try:
        words = json.loads((cluster / CHOSEN).read_text())
    except FileNotFoundError:
        return ContainerRuntime()
    return ContainerRuntime(**{key: Path(path) for key, path in words.items()})
