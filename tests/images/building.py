"""
Build the images that a cluster needs, once: `build_images(["operator", "tiny-mistral"])`.

An image whose inputs have not changed is not built again: its archive lies in the cache folder
under the fingerprint of all that went in. Everything is below that one folder.
"""

import fcntl
import json
import tarfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.progress import say
from tests.cluster.surroundings import cache_directory
from tests.images.builders import Builder, find_builder
from tests.images.commands import BuildFailedError
from tests.images.recipes import RECIPES, Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """
    Point to a built image.

    Attributes:
        reference: Name and tag, as a manifest asks for it.
        archive: The image as a docker-archive, ready to be imported.
        digest: Digest of the image's configuration (its ID), `sha256:...`.
        bytes: Size of the archive.
    """

    reference: str
    archive: Path
    digest: str
    bytes: int


def build_images(names: Iterable[str], cache: Path | None = None) -> dict[str, Image]:
    """
    Return images by name, building those whose inputs have changed.

    Args:
        names: Names of recipes.
        cache: Folder to keep archives and layers in; the project's cache folder by default.

    Raises:
        KeyError: for a name without a recipe; lists those that there are.
        BuildFailedError: with the end of the builder's log.
    """
    wanted = [_recipe(name) for name in names]
    folder = cache or cache_directory() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a demo and a test run may ask at the same time
        builder = find_builder(folder)
        return {recipe.name: _image(recipe, builder, folder) for recipe in wanted}


def read_digest(archive: Path) -> str:
    """
    Return the digest of the image in a docker-archive.

    Raises:
        BuildFailedError: when the archive holds anything but one image.
    """
    with tarfile.open(archive) as tar:
        manifest = tar.extractfile("manifest.json")
        images = json.load(manifest) if manifest is not None else []
    if len(images) != 1:
        raise BuildFailedError(f"{archive}: {len(images)} images, expected 1; remove the file")
    config = Path(images[0]["Config"])  # <hex>.json, or blobs/sha256/<hex> from newer engines
    return f"sha256:{config.stem}"


def _recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise KeyError(f"no image is named {name!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[name]


def _image(recipe: Recipe, builder: Builder, folder: Path) -> Image:
    """Return one image, from the cache or freshly built."""
    archive = _archive(recipe, builder, folder)
    if archive.exists():
        say(f"images: {recipe.name}: unchanged, {archive.stat().st_size / 1e6:.0f} MB")
    while not archive.exists():
        _build(recipe, builder, archive)
        archive = _archive(recipe, builder, folder)  # another, if a file was edited meanwhile
    return Image(
        reference=recipe.reference,
        archive=archive,
        digest=read_digest(archive),
        bytes=archive.stat().st_size,
    )


def _archive(recipe: Recipe, builder: Builder, folder: Path) -> Path:
    """Return where the image of the files as they are now lies, or will lie."""
    return folder / f"{recipe.name}-{recipe.fingerprint(builder.identity)}.tar"


def _build(recipe: Recipe, builder: Builder, archive: Path) -> None:
    """Build and export one image, and drop the archives of its former selves."""
    say(f"images: {recipe.name}: building {recipe.reference}")
    began = time.monotonic()
    builder.build(recipe, archive.with_name(f"{recipe.name}.log"))
    built = time.monotonic()
    partial = archive.with_suffix(".part")
    partial.unlink(missing_ok=True)
    builder.export(recipe, partial)
    for former in archive.parent.glob(f"{recipe.name}-*.tar"):
        former.unlink()
    partial.rename(archive)
    say(
        f"images: {recipe.name}: built in {built - began:.0f} s, "
        f"{archive.stat().st_size / 1e6:.0f} MB written in {time.monotonic() - built:.0f} s"
    )
