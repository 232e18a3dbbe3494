"""
Take the bill of materials out of an image's archive, as the build put it there.

It is the one that lies in the image and no other made since: what is attested is what runs. The
archive is read in place, since a preset's has 14 GB.
"""

import json
import tarfile
from pathlib import Path
from typing import Any

from release.contents import ReleaseError

PLACE = "opt/requirements/installed.cdx.json"


def bill_of_materials(archive: Path) -> bytes:
    """
    Return the CycloneDX document of the image in a docker-archive.

    Raises:
        ReleaseError: it is no such archive, or its image has no bill.
    """
    try:
        with tarfile.open(archive) as outer:
            manifest = outer.extractfile("manifest.json")
            images: list[dict[str, Any]] = json.load(manifest) if manifest is not None else []
            (image,) = images
            for layer in reversed(image["Layers"]):
                if (found := _in_layer(outer, layer)) is not None:
                    return found
    except (tarfile.TarError, KeyError, ValueError) as error:
        raise ReleaseError(
            f"{archive}: not a docker-archive with one image ({error}); `docker save` writes one"
        ) from error
    raise ReleaseError(
        f"{archive}: no /{PLACE} in the image; build it from the Dockerfiles of this version"
    )


def _in_layer(outer: tarfile.TarFile, layer: str) -> bytes | None:
    packed = outer.extractfile(layer)
    if packed is None:
        return None
    with tarfile.open(fileobj=packed) as inner:
        for member in inner:
            if member.name.removeprefix("./") == PLACE:
                content = inner.extractfile(member)
                return content.read() if content is not None else None
    return None
