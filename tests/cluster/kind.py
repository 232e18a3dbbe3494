"""
A cluster of kind's, for machines where Docker's engine runs (also those that are not Linux).

Written to kind's documented command line; it needs images from a registry, so it works only where
one can be reached.
"""

import shutil
import subprocess
from pathlib import Path

from tests.cluster import folders
from tests.cluster.packages import find_program
from tests.cluster.progress import say
from tests.cluster.surroundings import environment

SIZE = "kind"
UP_SECONDS = 600
DOCKER_SECONDS = 10


class KindError(RuntimeError):
    """Kind is missing or failed; the message has what it said."""


def works() -> bool:
    """Tell whether kind is installed and Docker's engine answers."""
    docker, kind = find_program("docker"), find_program("kind")
    if docker is None or kind is None:
        return False
    try:
        done = subprocess.run(
            [docker, "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            timeout=DOCKER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def up(name: str) -> Path:
    """Make a cluster; return its kubeconfig, which is not the user's own."""
    directory = folders.create(name, size=SIZE, owned=False)
    kubeconfig = directory / "kubeconfig"
    try:
        _kind("create", "cluster", *_which(name, kubeconfig), "--wait", "180s")
    except BaseException:
        down(name)
        raise
    kubeconfig.chmod(0o600)
    return kubeconfig


def down(name: str) -> None:
    """Delete the cluster and its folder."""
    cluster = folders.find(name)
    _kind("delete", "cluster", *_which(name, cluster.directory / "kubeconfig"))
    folders.remove(cluster.directory)


def load_image(name: str, archive: Path) -> None:
    """Bring an image (a `docker save` archive) to the cluster's nodes."""
    _kind("load", "image-archive", str(archive), "--name", f"atelier-{name}")


def _which(name: str, kubeconfig: Path) -> tuple[str, ...]:
    return ("--name", f"atelier-{name}", "--kubeconfig", str(kubeconfig))


def _kind(*arguments: str) -> None:
    program = shutil.which("kind")
    if program is None:
        raise KindError("kind is missing: install it, or leave --provider kind away")
    say(f"kind {' '.join(arguments)}")
    done = subprocess.run(
        [program, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=UP_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise KindError(f"kind {arguments[0]} exited {done.returncode}: {done.stderr.strip()}")
