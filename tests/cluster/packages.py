"""
Programs that come as Debian packages: installed where that is possible, else named exactly.

Root on Debian (or a child of it) gets the missing ones from apt-get, without their services being
started; everybody else gets an error that says what is missing and which command brings it.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.progress import say
from tests.cluster.surroundings import cache_directory, environment

# Administrators' tools (ip, iptables, runc ...) are off the PATH of an ordinary shell on Debian.
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")
# Debian asks this program before it starts a service; 101 means no. Source: invoke-rc.d(8).
POLICY = Path("/usr/sbin/policy-rc.d")


class MissingPackagesError(RuntimeError):
    """Programs are missing and cannot be installed from here; the message has the command."""


def find_program(name: str) -> Path | None:
    """Return the path of a program or a plain file (where the name is a path), or None."""
    if "/" in name:
        return Path(name) if Path(name).exists() else None
    folders = os.pathsep.join((environment().get("PATH", os.defpath), *SYSTEM_FOLDERS))
    found = shutil.which(name, path=folders)
    return Path(found) if found else None


def require_debian_packages(programs: Mapping[str, str]) -> None:
    """
    Make sure that programs are there, installing their packages where that can be done.

    Args:
        programs: package name -> a program that it brings, or the absolute path of a file of it.

    Raises:
        MissingPackagesError: apt-get failed, or this is not root on Debian.
    """
    missing = sorted(package for package, name in programs.items() if find_program(name) is None)
    if not missing:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        names = ", ".join(f"{programs[package]} (package {package})" for package in missing)
        raise MissingPackagesError(f"missing: {names}; as root on Debian: {' '.join(command)}")
    _install(missing, command)
    absent = [package for package in missing if find_program(programs[package]) is None]
    if absent:
        raise MissingPackagesError(f"installed, yet their programs are missing: {absent}")


def _install(packages: Sequence[str], command: Sequence[str]) -> None:
    log = cache_directory() / "apt-get.log"
    say(f"packages: installing {' '.join(packages)} (log: {log})")
    variables = environment() | {"DEBIAN_FRONTEND": "noninteractive"}
    with _services_held_back(), log.open("w") as output:
        for arguments in (["apt-get", "update"], command):
            done = subprocess.run(
                arguments, stdout=output, stderr=subprocess.STDOUT, env=variables, check=False
            )
            if done.returncode != 0:
                tail = "\n".join(log.read_text().splitlines()[-15:])
                raise MissingPackagesError(f"{' '.join(arguments)} failed:\n{tail}")


@contextmanager
def _services_held_back() -> Iterator[None]:
    """Keep packages from starting their services: etcd and containerd run under our hand only."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
