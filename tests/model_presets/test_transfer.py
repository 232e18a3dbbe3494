"""One file of a revision: continued, counted once, and the token kept from strangers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from model_presets import hub as asking
from model_presets import progress
from model_presets.catalog import load_catalog
from model_presets.download import bring, download
from model_presets.hub import DownloadFailed
from model_presets.transfer import PARTS

from tests.model_hub import Hub, serving

PRESET = load_catalog().get("mistral-7b-instruct")
SHARD = "model.safetensors"
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    SHARD: bytes(range(256)) * 400,
}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub(repo=PRESET.repo, revision=PRESET.revision, files=dict(FILES))) as running:
        yield running


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "FIRST_WAIT_SECONDS", 0.0)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_hub_that_sends_a_file_from_its_beginning_again_is_not_counted_twice(
    hub: Hub, tmp_path: Path
) -> None:
    part = tmp_path / "weights" / PARTS / f"{SHARD}.{hub.sha256(SHARD)}"
    part.parent.mkdir(parents=True)
    part.write_bytes(FILES[SHARD][:1000])
    hub.whole_only = True
    meters: list[progress.Meter] = []
    bring(
        asking.open_hub(hub.endpoint, None),
        PRESET,
        tmp_path / "weights",
        report=lambda _line: None,
        watch=meters.append,
    )
    assert contents(tmp_path / "weights") == FILES
    assert meters[0].have_bytes == meters[0].total_bytes


def test_more_bytes_than_were_stated_are_refused(hub: Hub, tmp_path: Path) -> None:
    hub.sizes = {SHARD: 1000}
    with pytest.raises(DownloadFailed, match=f"gave {len(FILES[SHARD])} bytes of {SHARD}"):
        download(PRESET, tmp_path, endpoint=hub.endpoint, report=lambda _line: None)


def test_a_name_that_leads_out_of_the_folder_is_not_fetched() -> None:
    names = ["config.json", "pytorch_model.bin", "pytorch_model/../../x.bin"]
    assert asking.chosen_names(names) == ["config.json", "pytorch_model.bin"]


def test_files_that_lie_elsewhere_are_fetched_without_the_token(hub: Hub, tmp_path: Path) -> None:
    canary = "hf_canary"
    hub.token = canary
    with serving(Hub(repo=PRESET.repo, revision=PRESET.revision, files=dict(FILES))) as store:
        hub.stored_at = store.endpoint.replace("127.0.0.1", "localhost")
        download(PRESET, tmp_path, endpoint=hub.endpoint, token=canary, report=lambda _line: None)
    assert contents(tmp_path) == FILES
    assert store.asked[f"GET /{PRESET.repo}/resolve/{PRESET.revision}/{SHARD}"] == 1
    assert store.tokens == {None}
    assert hub.tokens == {f"Bearer {canary}"}
