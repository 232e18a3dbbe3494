"""Measure what the throw-away cluster takes of the disk, folder by folder."""

import os
import shutil
from pathlib import Path

from tests.cluster.surroundings import cache_directory

# Folder below the cache -> what it is for.
PARTS = {
    "bin": "built programs",
    "go/mod": "sources that Go fetched",
    "go/build": "what Go compiled",
    "crds": "definitions of Karpenter",
    "machine-images": "disks that machines start from (shared with those by hard links)",
    "clusters": "clusters that are there now",
}


def used_bytes(folder: Path) -> int:
    """Return the disk space of a folder, without what other file systems are mounted below it."""
    if not folder.exists():
        return 0
    device = folder.stat().st_dev
    total = 0
    for root, folders, files in os.walk(folder):
        here = Path(root)
        folders[:] = [name for name in folders if _is_on(here / name, device)]
        for name in files:
            try:
                total += (here / name).lstat().st_blocks * 512
            except FileNotFoundError:  # a running cluster creates and deletes
                continue
    return total


def report() -> list[str]:
    """Return one line per part of the cache, and the sum."""
    cache = cache_directory()
    sizes = {part: used_bytes(cache / part) for part in PARTS}
    lines = [f"{sizes[part] / 1e6:8.0f} MB  {part:<9} {what}" for part, what in PARTS.items()]
    return [*lines, f"{sum(sizes.values()) / 1e6:8.0f} MB  in {cache}"]


def trim() -> int:
    """Delete sources and compiled parts, which only another build wants; return bytes freed."""
    folder = cache_directory() / "go"
    freed = used_bytes(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return freed


def _is_on(folder: Path, device: int) -> bool:
    try:
        return folder.lstat().st_dev == device
    except FileNotFoundError:
        return False
