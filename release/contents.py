"""
Say what a release holds, before anything is sent: names, archives, and where they go.

Pure but for looking into the folder of archives. Refuses what would fail later and half-done.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

OPERATOR = "operator"
TUNING = "-tuning"
# A host, its port and folders. Source: the reference grammar of the OCI distribution project.
REGISTRY = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


class ReleaseError(RuntimeError):
    """A release cannot be made; the message names what is wrong and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageArchive:
    """
    Point to an image that is to be pushed.

    Attributes:
        name: The last part of its name in the registry.
        path: A docker-archive.
    """

    name: str
    path: Path


def parsed_registry(text: str) -> str:
    """
    Return where a release goes, as the first part of an image's name.

    Raises:
        ReleaseError: it is empty, or would be read as something else.
    """
    example = "as in registry.example.com/atelier"
    if not text:
        raise ReleaseError(f"no registry; name a host and a folder, {example}")
    if "://" in text:
        raise ReleaseError(f"registry {text!r}: leave the scheme out, {example}")
    if REGISTRY.fullmatch(text) is None:
        raise ReleaseError(f"registry {text!r}: not a host and folders in small letters, {example}")
    host = text.split("/", maxsplit=1)[0]
    if "." not in host and ":" not in host and host != "localhost":
        raise ReleaseError(
            f"registry {text!r}: {host!r} is no host, and would be looked for on Docker Hub;"
            f" name the host too, {example}"
        )
    return text


def images_in(folder: Path, presets: Iterable[str]) -> tuple[ImageArchive, ...]:
    """
    Return the images of a folder of NAME.tar, the operator's first.

    Args:
        folder: What `python -m tests.images build ... --output FOLDER` or `docker save` wrote.
        presets: Names of all presets; another image would be asked for by nobody.

    Raises:
        ReleaseError: a folder or an image is missing, or an image is nobody's.
    """
    if not folder.is_dir():
        raise ReleaseError(
            f"{folder} is no folder; `python -m tests.images build operator ... --output {folder}`"
            " makes it"
        )
    found = {path.stem: path for path in sorted(folder.glob("*.tar"), key=lambda path: path.stem)}
    if OPERATOR not in found:
        raise ReleaseError(f"{folder}: no {OPERATOR}.tar; a release has the operator's image")
    known = set(presets)
    for name in found.keys() - {OPERATOR}:
        if name.removesuffix(TUNING) not in known:
            raise ReleaseError(
                f"{found[name]}: neither the operator nor a preset's image; the presets are"
                f" {', '.join(sorted(known))}, and an image that tunes ends in {TUNING}"
            )
        if name.removesuffix(TUNING) not in found:
            raise ReleaseError(f"{found[name]}: the image that serves the preset is not beside it")
    models = [name for name in found if name != OPERATOR]
    if not models:
        raise ReleaseError(f"{folder}: the image of no preset; a release serves at least one")
    return tuple(ImageArchive(name=name, path=found[name]) for name in (OPERATOR, *models))
