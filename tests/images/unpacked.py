"""
Look into an image, and run its programs, without a container runtime.

The layers are unpacked into a folder; a program is entered with chroot in a mount namespace of its
own, as the image's user and on a read-only root, which is how a restricted pod runs it. Needs root.
"""

import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any

WHITED_OUT = ".wh."
OPAQUE = ".wh..wh..opq"
ENTER = """
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount -t tmpfs tmpfs "$1/tmp"
mount -t proc proc "$1/proc"
mount --bind /dev "$1/dev"
root="$1"
shift
exec chroot --userspec=10001:10001 "$root" "$@"
"""


class Unpacked:
    """An image's files in a folder, and what its configuration says about starting it."""

    def __init__(self, archive: Path, root: Path) -> None:
        """Unpack an archive into a new folder."""
        self.root = root
        root.mkdir()
        with tarfile.open(archive) as tar:
            (manifest,) = json.loads(read(tar, "manifest.json"))
            self.config: dict[str, Any] = json.loads(read(tar, manifest["Config"]))
            for layer in manifest["Layers"]:
                content = tar.extractfile(layer)
                assert content is not None
                remove_whited_out(content, root)
                content.seek(0)
                command = ["tar", "-x", "-C", str(root), "--exclude=.wh.*", "-f", "-"]
                with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
                    assert process.stdin is not None
                    while chunk := content.read(1 << 20):
                        process.stdin.write(chunk)
                assert process.returncode == 0

    def command(self, *words: str) -> list[str]:
        """Return what starts the image's program, or other words, as its own user."""
        settings = self.config["config"]
        started = list(words) or settings["Entrypoint"]
        inside = ["/usr/bin/env", "-i", *settings["Env"], *started]
        return ["unshare", "--mount", "sh", "-c", ENTER, "enter", str(self.root), *inside]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the image to its end."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False)


def remove_whited_out(layer: IO[bytes], root: Path) -> None:
    """
    Remove what a layer takes away from those below it.

    Source: the OCI image specification, layer.md, Whiteouts.
    """
    with tarfile.open(fileobj=layer) as archive:
        marks = [PurePosixPath(name) for name in archive.getnames() if "/.wh." in f"/{name}"]
    for mark in marks:
        folder = root / mark.parent
        gone = [folder / mark.name.removeprefix(WHITED_OUT)]
        if mark.name == OPAQUE:
            gone = list(folder.iterdir()) if folder.is_dir() else []
        for path in gone:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


@contextmanager
def unpacked(archive: Path) -> Iterator[Unpacked]:
    """Unpack an archive for the length of a block: gigabytes, which no one wants kept."""
    with TemporaryDirectory(prefix="atelier-image-") as folder:
        yield Unpacked(archive, Path(folder) / "root")


def read(tar: tarfile.TarFile, name: str) -> bytes:
    """Return one file of an archive."""
    member = tar.extractfile(name)
    assert member is not None
    return member.read()


def take_folder(archive: Path, inside: str, target: Path) -> None:
    """
    Copy the files of one folder out of an image that has them all in one layer.

    Small layers are looked into first: weights of a test do not lie in the gigabyte of a runtime.

    Raises:
        FileNotFoundError: No layer has that folder.
    """
    parent = PurePosixPath(inside.lstrip("/"))
    with tarfile.open(archive) as tar:
        (manifest,) = json.loads(read(tar, "manifest.json"))
        for name in sorted(manifest["Layers"], key=lambda layer: tar.getmember(layer).size):
            with tarfile.open(fileobj=tar.extractfile(name)) as layer:
                found = [
                    each
                    for each in layer.getmembers()
                    if each.isfile() and PurePosixPath(each.name.lstrip("./")).parent == parent
                ]
                for each in found:
                    (target / PurePosixPath(each.name).name).write_bytes(read(layer, each.name))
            if found:
                return
    raise FileNotFoundError(f"{archive}: no layer has files in {inside}")
