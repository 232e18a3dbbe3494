"""
The kinds of cluster that the command line starts and ends, in one table.

`cluster.json` in a cluster's folder names its backend, so `down` needs to know nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import existing, folders, kind, node_cluster
from tests.cluster.binaries import CONTROL_PLANE
from tests.cluster.control_plane import SIZE as CONTROL_PLANE_SIZE
from tests.cluster.control_plane import start_control_plane


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One kind of cluster."""

    summary: str
    up: Callable[[str], Path]  # name -> kubeconfig
    down: Callable[[str], None]  # name
    programs: tuple[str, ...] = ()  # what `prepare` builds for it
    prepare: Callable[[], None] = lambda: None  # what else it installs
    needs_nodes: bool = False


def _control_plane_up(name: str) -> Path:
    return start_control_plane(name).kubeconfig


def _control_plane_down(name: str) -> None:
    folders.remove(folders.find(name).directory)


def _node_up(name: str) -> Path:
    return node_cluster.up(name).plane.kubeconfig


# What `--size` offers.
SIZES = {
    CONTROL_PLANE_SIZE: Backend(
        summary="an API server without nodes, ready in seconds",
        up=_control_plane_up,
        down=_control_plane_down,
        programs=CONTROL_PLANE,
    ),
    node_cluster.SIZE: Backend(
        summary="real nodes on this host (root, containerd), ready in ten seconds",
        up=_node_up,
        down=node_cluster.down,
        programs=node_cluster.PROGRAMS,
        prepare=node_cluster.require_host,
        needs_nodes=True,
    ),
}

# Everything that a folder may hold.
ENDINGS: dict[str, Callable[[str], None]] = {
    kind.SIZE: kind.down,
    existing.SIZE: existing.down,
} | {name: backend.down for name, backend in SIZES.items()}


def down(name: str) -> None:
    """End a cluster of any kind."""
    ENDINGS[folders.find(name).size](name)
