"""Fetching the files of a pinned revision: from a hub on a bad day, from a cache, from a folder."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from model_presets import hub as asking
from model_presets import progress, transfer
from model_presets.catalog import load_catalog
from model_presets.download import copy_folder, download
from model_presets.hub import DownloadFailed, lock_from_hub
from model_presets.lock import LockedFile, WrongWeights

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
    monkeypatch.setattr(asking, "FIRST_WAIT_SECONDS", 0.0)
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
    monkeypatch.setattr(transfer, "CHUNK_BYTES", 1024)
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
    assert len([line for line in lines if "again in" in line]) == asking.ATTEMPTS - 1


def test_bytes_that_are_not_the_described_ones_are_refused(hub: Hub, tmp_path: Path) -> None:
    hub.lies = {SHARD: "0" * 64}
    with pytest.raises(WrongWeights, match="expected 0000") as caught:
        download(PRESET, tmp_path, endpoint=hub.endpoint, report=lambda _line: None)
    assert caught.value.path == tmp_path / SHARD


def test_a_small_file_of_another_revision_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.described = {"tokenizer_config.json": b"{} "}
    with pytest.raises(DownloadFailed, match=r"tokenizer_config\.json.*another revision"):
        download(PRESET, tmp_path, endpoint=hub.endpoint, report=lambda _line: None)


def test_a_hub_that_asks_for_patience_is_given_it(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("model_presets.hub.time.sleep", waits.append)
    hub.status_once = {SHARD: 503}
    hub.retry_after = "17"
    download(PRESET, tmp_path, endpoint=hub.endpoint, report=lambda _line: None)
    assert 17.0 in waits


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, 0), ({"Retry-After": "3"}, 3), ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0)],
)
def test_only_a_number_of_seconds_is_heeded(headers: dict[str, str], seconds: float) -> None:
    assert asking.retry_after_seconds(headers) == seconds


def test_the_first_failure_that_cannot_pass_stops_the_rest(hub: Hub, tmp_path: Path) -> None:
    hub.status_once = {SHARD: 404}
    with pytest.raises(DownloadFailed, match=SHARD):
        download(PRESET, tmp_path, endpoint=hub.endpoint, report=lambda _line: None)


def test_a_stopped_meter_ends_a_file_at_its_next_chunk() -> None:
    meter = progress.Meter(total_bytes=10)
    meter.add(4)
    meter.stop()
    with pytest.raises(progress.Stopped):
        meter.add(1)
    assert meter.have_bytes == 4


def test_a_gated_repository_opens_to_a_token(hub: Hub, tmp_path: Path) -> None:
    canary = "hf_canary"
    hub.token = canary
    with pytest.raises(DownloadFailed, match="HF_TOKEN_PATH") as caught:
        download(PRESET, tmp_path, endpoint=hub.endpoint, report=lambda _line: None)
    assert canary not in str(caught.value)
    download(PRESET, tmp_path, endpoint=hub.endpoint, token=canary, report=lambda _line: None)
    assert contents(tmp_path) == WANTED


def test_a_lock_from_the_hub_describes_all_and_fetches_no_weights(hub: Hub, tmp_path: Path) -> None:
    lock = lock_from_hub(PRESET, endpoint=hub.endpoint, report=lambda _line: None)
    assert {file.path: file.size for file in lock.files} == {
        name: len(content) for name, content in WANTED.items()
    }
    assert not [each for each in hub.asked if "GET" in each and each.endswith(".safetensors")]

    hub.files["added_tokens.json"] = b"{}"  # not in the lock: not fetched
    download(PRESET, tmp_path, endpoint=hub.endpoint, expected=lock, report=lambda _line: None)
    assert contents(tmp_path) == WANTED


def test_a_lock_of_pickled_shards_says_what_must_be_converted(hub: Hub) -> None:
    for name in [name for name in hub.files if name.endswith(".safetensors")]:
        del hub.files[name]
    lock = lock_from_hub(PRESET, endpoint=hub.endpoint, report=lambda _line: None)
    assert [file.path for file in lock.converted_from] == [
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
        "pytorch_model.bin.index.json",
    ]


@pytest.mark.parametrize("name", ["config.json", SHARD])
def test_a_hub_that_changed_its_mind_is_refused(hub: Hub, tmp_path: Path, name: str) -> None:
    lock = lock_from_hub(PRESET, endpoint=hub.endpoint, report=lambda _line: None)
    hub.files[name] = hub.files[name][:-1] + b"?"
    with pytest.raises(WrongWeights, match="expected") as caught:
        download(PRESET, tmp_path, endpoint=hub.endpoint, expected=lock, report=lambda _line: None)
    assert caught.value.path == tmp_path / name


def test_a_lock_that_does_not_belong_is_named(hub: Hub, tmp_path: Path) -> None:
    lock = lock_from_hub(PRESET, endpoint=hub.endpoint, report=lambda _line: None)
    more = replace(lock, files=(*lock.files, LockedFile(path="x.json", size=1, sha256="0" * 64)))
    for wrong, words in ((more, "x.json: in the lock"), (replace(lock, repo="a/b"), "lock is of")):
        with pytest.raises(DownloadFailed, match=words):
            download(
                PRESET, tmp_path, endpoint=hub.endpoint, expected=wrong, report=lambda _line: None
            )


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
    monkeypatch.setattr(progress, "REPORT_SECONDS", 0.001)
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
