"""
One path per program of the throw-away cluster, wherever it comes from.

The order: a folder of ready binaries that the user named (ATELIER_BINARIES, KUBEBUILDER_ASSETS);
etcd from Debian's package; else built once from Go modules into the cache (go_modules.py).
"""

import os
from collections.abc import Iterable
from pathlib import Path

from tests.cluster import go_modules
from tests.cluster.packages import MissingPackagesError, find_program, require_debian_packages
from tests.cluster.progress import say
from tests.cluster.surroundings import prebuilt_directories

NAMES = tuple(go_modules.TOOLS)
CONTROL_PLANE = ("etcd", "kube-apiserver", "kubectl")


class UnknownProgramError(RuntimeError):
    """There is no such program here."""


def binary(name: str) -> Path:
    """Return the path of a program, building or installing it if need be."""
    return ensure([name])[name]


def ensure(names: Iterable[str]) -> dict[str, Path]:
    """Return the paths of several programs; what is missing is built with one count of progress."""
    wanted = list(dict.fromkeys(names))
    if unknown := set(wanted) - set(NAMES):
        raise UnknownProgramError(
            f"unknown programs {sorted(unknown)}; there are {', '.join(NAMES)}"
        )
    if "etcd" in wanted and present("etcd") is None:
        _install_etcd()
    found = {name: path for name in wanted if (path := present(name)) is not None}
    go_modules.build([go_modules.TOOLS[name] for name in wanted if name not in found])
    return {name: found.get(name) or go_modules.TOOLS[name].path() for name in wanted}


def present(name: str) -> Path | None:
    """Return the path of a program if it is there already."""
    for directory in prebuilt_directories():
        candidate = directory / name
        if os.access(candidate, os.X_OK):
            return candidate
    if name == "etcd" and (installed := find_program("etcd")):
        return installed
    built = go_modules.TOOLS[name].path()
    return built if built.exists() else None


def _install_etcd() -> None:
    """Take Debian's etcd where that is possible; else it is built like the rest."""
    try:
        require_debian_packages({"etcd-server": "etcd"})
    except MissingPackagesError as error:
        say(f"etcd: {error}; building it from its Go module instead")
