"""
What the user tells the throw-away cluster: where its cache is, which binaries to take.

The harness is its own program with two entrances, `python -m tests.cluster` and pytest's fixtures,
so this file stands in for `__main__` as the only reader of the environment. Everything that a
cluster leaves on disk lies below `cache_directory()`: removing that folder removes all of it.

Imports nothing of the harness, so that every other file may import it.
"""

import os
from pathlib import Path


def environment() -> dict[str, str]:
    """Return a copy of the environment, for the programs that the harness starts."""
    return dict(os.environ)  # noqa: TID251 - the harness's one door to the environment


def variable(name: str) -> str | None:
    """Return an environment variable, or None where it is unset or empty."""
    return environment().get(name) or None


def cache_directory() -> Path:
    """Return the folder of everything that is kept between runs, made on first use."""
    chosen = variable("ATELIER_CACHE")
    fallback = Path(variable("XDG_CACHE_HOME") or Path.home() / ".cache") / "atelier"
    directory = Path(chosen) if chosen else fallback
    directory.mkdir(parents=True, exist_ok=True)
    return directory.resolve()


def clusters_directory() -> Path:
    """Return the folder that holds one folder per running cluster, readable by this user only."""
    directory = cache_directory() / "clusters"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def prebuilt_directories() -> tuple[Path, ...]:
    """Return the folders of ready binaries that the user named, in the order they are searched."""
    named = (variable("ATELIER_BINARIES"), variable("KUBEBUILDER_ASSETS"))
    return tuple(Path(directory) for directory in named if directory)
