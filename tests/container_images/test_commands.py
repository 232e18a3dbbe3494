"""`python -m tests.images`, and what makes it independent of a registry."""

import json
from pathlib import Path

import pytest

from tests.images import __main__ as command
from tests.images import base, network
from tests.images.building import Image
from tests.images.commands import BuildFailedError


def test_build_prints_an_object_per_image_and_copies_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "operator-abc.tar"
    archive.write_bytes(b"image")
    image = Image(reference="r:1", archive=archive, digest="sha256:a", bytes=5)
    monkeypatch.setattr(command, "build_images", lambda names: dict.fromkeys(names, image))
    assert command.main(["build", "operator", "--output", str(tmp_path / "out")]) == 0
    copy = tmp_path / "out" / "operator.tar"
    assert copy.read_bytes() == b"image"
    assert json.loads(capsys.readouterr().out) == {
        "name": "operator",
        "reference": "r:1",
        "archive": str(copy),
        "digest": "sha256:a",
        "bytes": 5,
    }


def test_a_failed_build_is_told_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_names: list[str]) -> dict[str, Image]:
        raise BuildFailedError("no disk left")

    monkeypatch.setattr(command, "build_images", fail)
    assert command.main(["build", "operator"]) == 1
    assert capsys.readouterr().err == "images: no disk left\n"


def test_clean_removes_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path))
    (tmp_path / "images" / "storage").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    assert command.main(["clean"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_a_stand_in_base_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = []

    def make(words: list[str], _log: Path, _title: str) -> None:
        made.append(words)
        root = Path(words[-1])
        (root / "usr" / "share" / "doc" / "x").mkdir(parents=True)
        (root / "etc").mkdir()

    monkeypatch.setattr(base, "run_logged", make)
    monkeypatch.setattr(base, "require_debian_packages", lambda _programs: None)
    archive = base.stand_in_base(tmp_path)
    assert base.stand_in_base(tmp_path) == archive
    assert len(made) == 1
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]


def test_certificates_and_index_follow_the_machines_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "own.pem"
    bundle.write_text("certificates")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    copy = network.copy_certificates(tmp_path / "mount")
    assert copy is not None
    assert copy.read_text() == "certificates"
    assert network.index_arguments() == {
        "PIP_INDEX_URL": "https://index.example/simple",
        "UV_DEFAULT_INDEX": "https://index.example/simple",
    }
    assert network.uv_cache() == tmp_path / "uv"
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    assert network.copy_certificates(tmp_path / "mount") is None
