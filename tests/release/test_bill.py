"""The bill of materials is read out of the archive, wherever its layer lies."""

import gzip
import io
import json
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from release.bill import PLACE, bill_of_materials
from release.contents import ReleaseError
from tests.cluster.image_archive import ImageFile, ImageSettings, write_image

BILL = b'{"bomFormat": "CycloneDX"}'
SETTINGS = ImageSettings(name="test:1", entrypoint=("/x",))


def layer(**files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


def archive(path: Path, layers: dict[str, bytes], images: int = 1) -> Path:
    manifest = json.dumps([{"Config": "c.json", "Layers": list(layers)}] * images).encode()
    path.write_bytes(layer(**layers, **{"manifest.json": manifest}))
    return path


def test_it_is_that_of_the_image(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    write_image(path, SETTINGS, [ImageFile(path=PurePosixPath(f"/{PLACE}"), content=BILL)])
    assert bill_of_materials(path) == BILL


def test_the_last_layer_that_has_one_wins(tmp_path: Path) -> None:
    layers = {
        "a": layer(**{PLACE: b"of the base"}),
        "b": layer(**{f"./{PLACE}": BILL}),
        "c": layer(code=b""),
    }
    assert bill_of_materials(archive(tmp_path / "image.tar", layers)) == BILL


def test_a_packed_layer_is_read(tmp_path: Path) -> None:
    layers = {"blobs/sha256/a": gzip.compress(layer(**{PLACE: BILL}))}
    assert bill_of_materials(archive(tmp_path / "image.tar", layers)) == BILL


def test_an_image_without_one_is_no_release(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"image\.tar: no /opt/requirements/installed"):
        bill_of_materials(archive(tmp_path / "image.tar", {"a": layer(code=b"")}))


def test_something_else_is_named_with_what_is_wanted(tmp_path: Path) -> None:
    text, foreign = tmp_path / "text.tar", tmp_path / "foreign.tar"
    text.write_text("no archive")
    foreign.write_bytes(layer(code=b""))
    two = archive(tmp_path / "two.tar", {"a": layer(code=b"")}, images=2)
    for path in (text, foreign, two):
        with pytest.raises(ReleaseError, match="not a docker-archive with one image"):
            bill_of_materials(path)
