"""What a layer takes away is away in the unpacked image too."""

import io
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from tests.cluster.image_archive import ImageFile, ImageSettings, write_image
from tests.images.unpacked import remove_whited_out, take_folder


def test_whiteouts_remove_files_folders_and_contents(tmp_path: Path) -> None:
    for name in ("kept/a", "kept/b", "gone/c", "emptied/d/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "kept" / "link").symlink_to("/nowhere")
    layer = io.BytesIO()
    marks = ("kept/.wh.a", "kept/.wh.link", ".wh.gone", "emptied/.wh..wh..opq", "kept/.wh.never")
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for name in (*marks, "kept/new"):
            archive.addfile(tarfile.TarInfo(name))
    layer.seek(0)
    remove_whited_out(layer, tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {"kept", "kept/b", "emptied"}


def test_a_folder_is_taken_without_what_lies_beside_and_below_it(tmp_path: Path) -> None:
    files = [
        ImageFile(path=PurePosixPath(path), content=path.encode(), mode=0o644)
        for path in ("/models/weights/a", "/models/weights/b", "/models/c", "/models/weights/d/e")
    ]
    archive, target = tmp_path / "image.tar", tmp_path / "target"
    target.mkdir()
    write_image(archive, ImageSettings(name="docker.io/a/b:1", entrypoint=("/none",)), files)
    take_folder(archive, "/models/weights", target)
    taken = {path.name: path.read_text() for path in target.iterdir()}
    assert taken == {"a": "/models/weights/a", "b": "/models/weights/b"}
    with pytest.raises(FileNotFoundError, match="no layer has files in /elsewhere"):
        take_folder(archive, "/elsewhere", target)
