"""Fetching the files of a pinned revision: from a hub on a bad day, from a cache, from a folder."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from model_presets import download as module
from model_presets.catalog import load_catalog
from model_presets.download import DownloadFailed, copy_folder, download
from model_presets.lock import WrongWeights

from tests.model_hub import Hub, serving

PRESET = load_catalog().get("mistral-7b-instruct")
SHARD = "model-00001-of-00002.safetensors"
WANTED = {
    "config.json": b'{"model_type": "mistral"}',
    "generation_config.json": b"{}",
    SHARD: bytes(range(256)) * 4000,
    "model-00002-of-00002.safetensors": b"second" * 1000,
    "model.safetensors.index.json": b"{}",
    "special_tokens_map.json": b"{}",
    "tokenizer.json": b"{}",
    "tokenizer.model": b"\x0a\x0e",
    "tokenizer_config.json": b"{}",
}
OTHERS = {
    ".gitattributes": b"",
    "README.md": b"# Mistral",
    "consolidated.safetensors": b"the same again",
    "modeling_mistral.py": b"raise SystemExit",
    "pytorch_model-00001-of-00002.bin": b"pickle",
    "pytorch_model-00002-of-00002.bin": b"pickle",
    "pytorch_model.bin.index.json": b"{}",
}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(
        Hub(repo=PRESET.repo, revision=PRESET.revision, files={**WANTED, **OTHERS})
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.0)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _seconds: None)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_exactly_the_wanted_files_of_the_pinned_revision_arrive(hub: Hub, tmp_path: Path) -> None:
    lines: list[str] = []
    download(PRESET, tmp_path / "weights", endpoint=hub.endpoint, report=lines.append)
    assert contents(tmp_path / "weights") == WANTED
    asked = [request for request in hub.asked if "/resolve/" in request]
    assert asked
    assert all(f"/resolve/{PRESET.revision}/" in request for request in asked)
    assert lines[0] == f"{PRESET.repo} at {PRESET.revision}: 9 files, 0.00 GB"


def test_pickled_shards_are_taken_where_there_are_no_others(hub: Hub, tmp_path: Path) -> None:
    for name in [name for name in hub.files if name.endswith(".safetensors")]:
        del hub.files[name]
    download(PRESET, tmp_path, endpoint=hub.endpoint, report=lambda _line: None)
    assert sorted(name for name in contents(tmp_path) if "model" in name) == [
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
        "pytorch_model.bin.index.json",
        "tokenizer.model",
    ]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_failure_that_may_pass_is_tried_again(hub: Hub, tmp_path: Path, status: int) -> None:
    hub.status_once = {SHARD: status, "config.json": status}
    download(PRESET, tmp_path, endpoint=hub.endpoint, report=lambda _line: None)
    assert contents(tmp_path) == WANTED


def test_a_cut_answer_is_continued_where_it_stopped(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1024)
    hub.cut_once = {SHARD}
    download(PRESET, tmp_path, endpoint=hub.endpoint, report=lambda _line: None)
    assert contents(tmp_path) == WANTED
    assert len(hub.ranges) == 1
    assert int(hub.ranges[0].removeprefix("bytes=").rstrip("-")) > 0


@pytest.mark.parametrize(
    ("status", "words"), [(401, "give a token"), (403, "give a token"), (404, "check repo")]
)
def test_what_cannot_pass_fails_at_once(hub: Hub, tmp_path: Path, status: int, words: str) -> None:
    hub.status = status
    with pytest.raises(DownloadFailed, match=words) as caught:
        download(PRESET, tmp_path, endpoint=hub.endpoint, report=lambda _line: None)
    assert PRESET.revision in str(caught.value)
    assert sum(hub.asked.values()) == 1


def test_a_hub_that_stays_down_is_given_up(hub: Hub, tmp_path: Path) -> None:
    hub.status = 503
    lines: list[str] = []
    with pytest.raises(DownloadFailed, match="6 attempts"):
        download(PRESET, tmp_path, endpoint=hub.endpoint, report=lines.append)
    assert len([line for line in lines if "again in" in line]) == module.ATTEMPTS - 1


def test_bytes_that_are_not_the_described_ones_are_refused(hub: Hub, tmp_path: Path) -> None:
    hub.lies = {SHARD: "0" * 64}
    with pytest.raises(WrongWeights, match="the hub said 0000") as caught:
        download(PRESET, tmp_path, endpoint=hub.endpoint, report=lambda _line: None)
    assert caught.value.path == tmp_path / SHARD


def test_a_repository_without_weights_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.files = {"config.json": b"{}", "weights.onnx": b""}
    with pytest.raises(DownloadFailed, match="neither"):
        download(PRESET, tmp_path, endpoint=hub.endpoint, report=lambda _line: None)


def test_a_full_disk_is_noticed_before_the_first_byte(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=10))
    with pytest.raises(DownloadFailed, match="make room"):
        download(PRESET, tmp_path, endpoint=hub.endpoint, report=lambda _line: None)
    assert not [request for request in hub.asked if "/resolve/" in request]


def test_progress_tells_bytes_speed_and_time_left(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPORT_SECONDS", 0.001)
    lines: list[str] = []
    download(PRESET, tmp_path, endpoint=hub.endpoint, report=lines.append)
    assert any(" of " in line and "MB/s" in line for line in lines)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_bare_files_are_copied_without_the_rest(tmp_path: Path) -> None:
    source = write(tmp_path / "source", {**WANTED, **OTHERS})
    copy_folder(PRESET, source, tmp_path / "weights")
    assert contents(tmp_path / "weights") == WANTED


@pytest.mark.parametrize("start", ["hub", "repository"])
def test_a_hubs_cache_is_asked_for_the_pinned_revision(tmp_path: Path, start: str) -> None:
    repository = tmp_path / "hub" / "models--mistralai--Mistral-7B-Instruct-v0.1"
    blobs = write(repository / "blobs", WANTED)
    snapshot = repository / "snapshots" / PRESET.revision
    snapshot.mkdir(parents=True)
    for name in WANTED:
        (snapshot / name).symlink_to(blobs / name)
    source = tmp_path / "hub" if start == "hub" else repository

    copy_folder(PRESET, source, tmp_path / "weights")

    assert contents(tmp_path / "weights") == WANTED
    assert not any(path.is_symlink() for path in (tmp_path / "weights").iterdir())
    other = replace(PRESET, revision="1" * 40)
    with pytest.raises(DownloadFailed, match="1111"):
        copy_folder(other, source, tmp_path / "other")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match=r"no config\.json"):
        copy_folder(PRESET, tmp_path, tmp_path / "weights")
