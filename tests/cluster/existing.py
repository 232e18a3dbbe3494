"""
A cluster that the user has and names: we keep a kubeconfig for that one context, and end nothing.

The copy holds the one context and no other, so that no later command can reach a cluster that was
not named.
"""

import subprocess
from pathlib import Path

from tests.cluster import folders
from tests.cluster.binaries import binary
from tests.cluster.credentials import write_secret
from tests.cluster.surroundings import environment

SIZE = "existing"


class ContextError(RuntimeError):
    """The named context does not exist or its cluster does not answer."""


def up(name: str, context: str) -> Path:
    """Write a kubeconfig of the named context alone, once its API server has answered."""
    _kubectl(context, "get", "--raw", "/version", "--request-timeout=10s")
    config = _kubectl(context, "config", "view", "--minify", "--flatten", "--raw")
    directory = folders.create(name, size=SIZE, owned=False)
    kubeconfig = directory / "kubeconfig"
    write_secret(kubeconfig, config)
    return kubeconfig


def down(name: str) -> None:
    """Forget the kubeconfig; the cluster is the user's and stays as it is."""
    folders.remove(folders.find(name).directory)


def _kubectl(context: str, *arguments: str) -> str:
    done = subprocess.run(
        [binary("kubectl"), "--context", context, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if done.returncode != 0:
        raise ContextError(f"context {context!r}: {done.stderr.strip()}")
    return done.stdout
