"""
Build an image with the machine's Docker engine, or with buildah where no engine answers.

Both take the same Dockerfiles. buildah runs as root without a daemon, in a storage of its own below
the cache folder, and with `--isolation chroot`, so that it works inside a container too; there the
package cache and the certificates are mounted, which Docker's engine has its own settings for.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tests.cluster.packages import find_program, require_debian_packages
from tests.cluster.progress import say
from tests.images.base import STAND_IN, stand_in_base
from tests.images.commands import BuildFailedError, output_of, run_logged
from tests.images.network import copy_certificates, index_arguments, uv_cache
from tests.images.recipes import ROOT, VERSION, Recipe

ENGINE_TIMEOUT_SECONDS = 5.0
PULL_TIMEOUT_SECONDS = 120.0
# The time that all files of a layer get, and the image itself: so that a second build of the same
# gives the same digests. 1980: the first year that a zip archive can hold.
BUILT_AT_SECONDS = 315_532_800
# Folders that every Debian base has and no image needs: a mount there leaves nothing behind.
CERTIFICATES_AT = "/mnt"
UV_CACHE_AT = "/srv"

# Debian package -> a program or file of it. A storage remembers the network helper that was there
# when it was made, and refuses to build once that is gone: so the helper is asked for by name.
PACKAGES = {"buildah": "buildah", "netavark": "/usr/lib/podman/netavark"}


class Builder(Protocol):
    """Turn a recipe into an image, and an image into a docker-archive."""

    @property
    def identity(self) -> str:
        """Return what builds on what base: part of an image's fingerprint."""

    def build(self, recipe: Recipe, log: Path) -> None:
        """Build the image under the recipe's reference."""

    def export(self, recipe: Recipe, archive: Path) -> None:
        """Write the image as a docker-archive, its layers uncompressed."""


class Docker:
    """Build with the Docker engine that answers."""

    identity = "docker"

    def build(self, recipe: Recipe, log: Path) -> None:
        """Build with `docker build`."""
        arguments = build_arguments(recipe, index_arguments())
        command = ["docker", "build", "--file", recipe.dockerfile, "--tag", recipe.reference]
        command += target_of(recipe)
        run_logged([*command, *arguments, str(ROOT)], log, recipe.name)

    def export(self, recipe: Recipe, archive: Path) -> None:
        """Write with `docker save`."""
        output_of(["docker", "save", "--output", str(archive), recipe.reference])


class Buildah:
    """Build with buildah, in a storage below a folder."""

    def __init__(self, folder: Path) -> None:
        """Find buildah (installing it where that can be done) and a storage driver that works."""
        if os.geteuid() != 0:
            raise BuildFailedError("building images without Docker's engine needs root")
        require_debian_packages(PACKAGES)
        self._folder = folder
        self._buildah = [str(find_program("buildah")), "--root", str(folder / "storage")]
        self._buildah += ["--runroot", str(folder / "run")]
        self._buildah += ["--storage-driver", self._working_driver()]
        self._base: str | None = None
        self.identity = f"buildah-{STAND_IN}-{BUILT_AT_SECONDS}"

    def build(self, recipe: Recipe, log: Path, *, afresh: bool = False) -> None:
        """
        Build with `buildah bud`, on the base that can be had.

        Args:
            recipe: What to build.
            log: Where the builder's words go.
            afresh: Take no layer from an earlier build.
        """
        self._base = self._base or self._find_base(recipe.base_image)
        more = index_arguments() | {"BASE_IMAGE": self._base, "UV_CACHE_DIR": UV_CACHE_AT}
        mounts = ["--volume", f"{uv_cache()}:{UV_CACHE_AT}"]
        certificates = copy_certificates(self._folder / "certificates")
        if certificates is not None:
            inside = f"{CERTIFICATES_AT}/{certificates.name}"
            more |= {"SSL_CERT_FILE": inside, "PIP_CERT": inside}
            mounts += ["--volume", f"{certificates.parent}:{CERTIFICATES_AT}:ro"]
        fixed = ["bud", "--layers", "--isolation", "chroot", "--file", recipe.dockerfile]
        fixed += ["--timestamp", str(BUILT_AT_SECONDS), *(["--no-cache"] if afresh else [])]
        command = [*self._buildah, *fixed, "--tag", recipe.reference, *target_of(recipe), *mounts]
        run_logged([*command, *build_arguments(recipe, more), str(ROOT)], log, recipe.name)

    def export(self, recipe: Recipe, archive: Path) -> None:
        """Write with `buildah push` into a docker-archive."""
        target = f"docker-archive:{archive}:{recipe.reference}"
        output_of([*self._buildah, "push", "--quiet", recipe.reference, target])

    def _working_driver(self) -> str:
        """Return overlay where the kernel lets us, else vfs, which copies whole file trees."""
        probe = [*self._buildah, "--storage-driver", "overlay", "info"]
        works = subprocess.run(probe, capture_output=True, check=False).returncode == 0
        return "overlay" if works else "vfs"

    def _find_base(self, wanted: str) -> str:
        """Return the base that the Dockerfile names, if it can be pulled, else the stand-in."""
        pull = [*self._buildah, "pull", "--quiet", "--policy", "missing", wanted]
        try:
            done = subprocess.run(
                pull, capture_output=True, timeout=PULL_TIMEOUT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            done = None
        if done is not None and done.returncode == 0:
            return wanted
        stand_in = f"localhost/{STAND_IN}:{VERSION}"
        known = output_of(
            [*self._buildah, "images", "--quiet", "--filter", f"reference={stand_in}"]
        )
        if not known:
            archive = stand_in_base(self._folder)
            container = output_of([*self._buildah, "from", "scratch"])
            output_of([*self._buildah, "add", "--quiet", container, str(archive), "/"])
            output_of([*self._buildah, "commit", "--quiet", "--rm", container, stand_in])
        say(f"images: base: {stand_in}, since {wanted} cannot be pulled from here")
        return stand_in


def find_builder(folder: Path) -> Builder:
    """
    Return Docker where its engine answers, else buildah.

    Raises:
        BuildFailedError, MissingPackagesError: when neither can be had; says what would help.
    """
    if shutil.which("docker") is not None and _engine_answers():
        return Docker()
    return Buildah(folder)


def build_arguments(recipe: Recipe, more: dict[str, str]) -> Sequence[str]:
    """Return the build arguments of a recipe as words of a command line."""
    values = {"VERSION": VERSION, **recipe.arguments, **more}
    return [word for key in sorted(values) for word in ("--build-arg", f"{key}={values[key]}")]


def target_of(recipe: Recipe) -> list[str]:
    """Return the recipe's stage as words of a command line."""
    return ["--target", recipe.target] if recipe.target else []


def _engine_answers() -> bool:
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=ENGINE_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
