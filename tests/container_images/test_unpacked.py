"""What a layer takes away is away in the unpacked image too."""

import io
import tarfile
from pathlib import Path

from tests.images.unpacked import remove_whited_out


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
