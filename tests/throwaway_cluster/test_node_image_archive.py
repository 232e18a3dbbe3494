"""Images made from plain files: what is in them, and that the hand-made program runs."""

import hashlib
import json
import os
import platform
import signal
import subprocess
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from tests.cluster import image_archive
from tests.cluster.image_archive import ImageFile, ImageSettings, write_image

SETTINGS = ImageSettings(name="docker.io/example/web:1", entrypoint=("/bin/web", "--quiet"))


def read_json(archive: Path, name: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    with tarfile.open(archive) as tar:
        member = tar.extractfile(name)
        assert member is not None
        return json.load(member)


def test_the_manifest_names_config_layer_and_tag(tmp_path: Path) -> None:
    archive = tmp_path / "web.tar"
    write_image(archive, SETTINGS, [ImageFile(path=PurePosixPath("/bin/web"), content=b"x")])
    (manifest,) = read_json(archive, "manifest.json")
    assert manifest["RepoTags"] == ["docker.io/example/web:1"]
    config = read_json(archive, manifest["Config"])
    assert config["config"]["Entrypoint"] == ["/bin/web", "--quiet"]
    assert config["config"]["User"] == "65534:65534"
    with tarfile.open(archive) as tar:
        layer = tar.extractfile("layer.tar")
        assert layer is not None
        digest = hashlib.sha256(layer.read()).hexdigest()
    assert config["rootfs"]["diff_ids"] == [f"sha256:{digest}"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["web.tar"]


def test_the_same_files_give_the_same_bytes_whenever_they_were_written(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("hello")
    archives = [tmp_path / "first.tar", tmp_path / "second.tar"]
    for age, archive in enumerate(archives):
        os.utime(source, (age, age))
        files = [
            ImageFile(path=PurePosixPath("/b"), content=source),
            ImageFile(path=PurePosixPath("/a"), content=b"bytes"),
        ]
        write_image(archive, SETTINGS, files if age else reversed(files))
    with tarfile.open(archives[0]) as one, tarfile.open(archives[1]) as two:
        layers = [tar.extractfile("layer.tar") for tar in (one, two)]
        assert layers[0] is not None
        assert layers[1] is not None
        assert layers[0].read() == layers[1].read()


def test_links_stay_links(tmp_path: Path) -> None:
    link = tmp_path / "python3"
    link.symlink_to("python3.11")
    archive = tmp_path / "links.tar"
    write_image(archive, SETTINGS, [ImageFile(path=PurePosixPath("/bin/python3"), content=link)])
    with tarfile.open(archive) as tar:
        layer = tar.extractfile("layer.tar")
        with tarfile.open(fileobj=layer) as inner:
            member = inner.getmember("bin/python3")
    assert member.issym()
    assert member.linkname == "python3.11"


def test_the_sleeper_sleeps_until_it_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "pause"
    program.write_bytes(image_archive.sleeper())
    program.chmod(0o755)
    with subprocess.Popen([program]) as process:  # noqa: S603 - the program under test
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)
        state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        process.kill()
    assert state == "S"
    assert process.returncode == -signal.SIGKILL


def test_another_processor_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(image_archive.UnsupportedMachineError, match="riscv64"):
        image_archive.sleeper()


def test_the_sandbox_image_is_the_sleeper_alone(tmp_path: Path) -> None:
    archive = tmp_path / "sandbox.tar"
    image_archive.write_sandbox_image(archive)
    with tarfile.open(archive) as tar:
        layer = tar.extractfile("layer.tar")
        with tarfile.open(fileobj=layer) as inner:
            assert inner.getnames() == ["pause"]
            assert inner.getmember("pause").size == len(image_archive.sleeper())
            assert inner.getmember("pause").mode == 0o755
