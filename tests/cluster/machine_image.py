"""
The disk that new machines start from: a containerd root that holds their images already.

A cloud's GPU machines boot from a machine image; pulling 6 GB at every boot would take minutes.
Ours is made once (archives imported by a containerd in a machine of its own), kept in the cache
under a key, and given to a machine by hard links, which takes a second or two however large it is.
That is safe because containerd never writes into a committed layer; its databases are copied.

Invariant: a disk in the cache is complete, since it gets its place there by one rename.
"""

import hashlib
import json
import shutil
import subprocess
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import machine as machines
from tests.cluster.image_archive import write_sandbox_image
from tests.cluster.images_import import Report, import_image, silent
from tests.cluster.network import Block
from tests.cluster.surroundings import cache_directory
from tests.cluster.whole_files import write_whole

DISK = Path("lib/containerd")  # below the machine's folder
CONTENTS = "contents.json"
CHOSEN = "machine-image.json"
KEPT = 4  # disks: that of the demo, the one before, and those of the tests


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineImage:
    """A disk in the cache."""

    key: str

    @property
    def folder(self) -> Path:
        """Where it is."""
        return disks() / self.key

    @property
    def exists(self) -> bool:
        """Whether it has been made."""
        return self.folder.is_dir()

    def names(self) -> list[str]:
        """Return the names of the images on it."""
        return list(json.loads((self.folder / CONTENTS).read_text()))

    def copy_to(self, machine_folder: Path) -> None:
        """Give a machine its disk: hard links where nobody writes, copies of the databases."""
        target = machine_folder / DISK
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "--archive", "--link", self.folder, target], check=True)
        (target / CONTENTS).unlink()
        for database in target.glob("*/*.db"):
            fresh = database.with_suffix(".copy")
            shutil.copy2(database, fresh)
            fresh.replace(database)


def disks() -> Path:
    """Return the folder of all disks."""
    folder = cache_directory() / "machine-images"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def key_of(archives: Iterable[Path]) -> str:
    """Return a key of the archives' contents; reading them takes about a second per gigabyte."""
    whole = hashlib.sha256()
    for path in archives:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:16]


def make(
    cluster: Path,
    block: Block,
    archives: Sequence[Path],
    *,
    key: str | None = None,
    report: Report = silent,
) -> MachineImage:
    """
    Return the disk with these images, making it if it is not in the cache.

    Args:
        cluster: folder of a running cluster, whose namespaces the importing machine uses.
        block: the cluster's addresses.
        archives: docker- or OCI-archives; not looked at where the key's disk is there.
        key: names the contents, e.g. an image's digest; default: `key_of(archives)`.
        report: told how far each import is.
    """
    image = MachineImage(key=key or key_of(archives))
    if image.exists:
        image.folder.touch()
        return image
    builder = machines.boot(cluster, f"image-{uuid.uuid4().hex[:6]}", block)
    try:
        machines.wait_for_containerd(builder)
        sandbox = builder.files / "sandbox.tar"
        write_sandbox_image(sandbox)
        names = [
            name
            for archive in (sandbox, *archives)
            for name in import_image(builder, archive, report if archive != sandbox else silent)
        ]
        builder.holder.kill()
        builder.containerd.kill()
        disk = builder.folder / DISK
        (disk / CONTENTS).write_text(json.dumps(names))
        disk.rename(image.folder)
    finally:
        machines.destroy(builder)
    _prune()
    return image


def choose(cluster: Path, image: MachineImage) -> None:
    """Say which disk the machines that join from now on start from."""
    write_whole(cluster / CHOSEN, json.dumps({"key": image.key}))


def chosen(cluster: Path) -> MachineImage | None:
    """Return the disk that was chosen, or None: machines start empty."""
    try:
        image = MachineImage(**json.loads((cluster / CHOSEN).read_text()))
    except FileNotFoundError:
        return None
    return image if image.exists else None


def _prune() -> None:
    """Delete the oldest disks; machines that run keep what they link to."""
    by_age = sorted(disks().iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for folder in by_age[KEPT:]:
        shutil.rmtree(folder)
