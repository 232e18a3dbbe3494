"""Fetching weights when a pod starts: a real process against a hub on the loopback, killed too."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from model_presets.catalog import load_catalog
from model_presets.ends import End
from model_presets.fetching import end_of, whole
from model_presets.hub import DownloadFailed, attempt
from model_presets.lock import LOCK_NAME, read_lock, verify

from tests.model_hub import Hub, serving

PRESET = load_catalog().get("mistral-7b-instruct")
SHARD = "model.safetensors"
FILES = {
    "config.json": b'{"model_type": "mistral"}',
    "tokenizer.json": b"{}",
    # More than the kernel buffers on the way: a hub that stops sending stops the download.
    SHARD: bytes(range(256)) * 96 * 1024,
}
PATIENCE_SECONDS = 60
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub(repo=PRESET.repo, revision=PRESET.revision, files=dict(FILES))) as running:
        yield running


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """Hold a process that fetches, and where it tells how far it is."""

    process: "subprocess.Popen[str]"
    port: int
    last_words: Path

    def ready(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/ready"
        with pytest.raises(urllib.error.HTTPError, match="503") as answer:
            urllib.request.urlopen(url, timeout=10)
        found: dict[str, Any] = json.loads(answer.value.read())
        return found

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and the last words."""
        code = self.process.wait(PATIENCE_SECONDS)
        return code, self.last_words.read_text()


@contextmanager
def fetching(hub: Hub, folder: Path, **environment: str) -> Iterator[Fetch]:
    last_words = folder.parent / "last-words"
    last_words.write_text("")
    process = subprocess.Popen(  # noqa: S603 - ourselves
        [
            *(sys.executable, "-m", "model_presets", "fetch-weights", PRESET.name, str(folder)),
            *("--port", "0", "--last-words", str(last_words)),
        ],
        env={
            "HF_ENDPOINT": hub.endpoint,
            "HOME": str(folder.parent / "home"),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout
        port = int(process.stdout.readline().removeprefix("progress on port "))
        yield Fetch(process=process, port=port, last_words=last_words)
    finally:
        process.kill()
        process.communicate()


def partly_there(fetch: Fetch) -> dict[str, Any]:
    """Wait until some of the weights have arrived, and not all."""
    for _ in range(PATIENCE_SECONDS * 20):
        progress: dict[str, Any] = fetch.ready()["progress"]
        if progress["bytes_loaded"] > 1_000_000:
            assert progress["bytes_loaded"] < progress["bytes_total"]
            return progress
        time.sleep(0.05)
    raise AssertionError("no bytes arrived")


def test_the_weights_arrive_locked_and_are_told_on_the_way(hub: Hub, tmp_path: Path) -> None:
    hub.hold_at = {SHARD: 12_000_000}
    with fetching(hub, tmp_path / "weights") as fetch:
        progress = partly_there(fetch)
        assert progress["bytes_total"] == sum(map(len, FILES.values()))
        assert progress["bytes_per_second"] > 0
        assert fetch.ready()["phase"] == "fetching"
        hub.let_go.set()
        assert fetch.end() == (0, "")
    verify(tmp_path / "weights", read_lock(tmp_path / "weights"), PRESET)


def test_a_killed_fetch_is_continued_where_it_was(hub: Hub, tmp_path: Path) -> None:
    hub.hold_at = {SHARD: 12_000_000}
    with fetching(hub, tmp_path / "weights") as fetch:
        partly_there(fetch)
        fetch.process.send_signal(signal.SIGKILL)
        assert fetch.end()[0] == -signal.SIGKILL
    assert whole(tmp_path / "weights", PRESET) is None
    hub.let_go.set()
    with fetching(hub, tmp_path / "weights") as fetch:
        assert fetch.end() == (0, "")
    assert len(hub.ranges) == 1
    assert int(hub.ranges[0].removeprefix("bytes=").rstrip("-")) > 0
    verify(tmp_path / "weights", read_lock(tmp_path / "weights"), PRESET)


def test_a_pod_that_is_deleted_does_not_wait_for_its_weights(hub: Hub, tmp_path: Path) -> None:
    hub.hold_at = {SHARD: 12_000_000}
    with fetching(hub, tmp_path / "weights") as fetch:
        partly_there(fetch)
        fetch.process.terminate()
        assert fetch.end()[0] == 128 + signal.SIGTERM


def test_what_is_whole_is_not_asked_for_again(hub: Hub, tmp_path: Path) -> None:
    for _ in range(2):
        with fetching(hub, tmp_path / "weights") as fetch:
            assert fetch.end() == (0, "")
    assert hub.asked[f"GET /{PRESET.repo}/resolve/{PRESET.revision}/{SHARD}"] == 1


def test_a_wrong_byte_is_named_and_the_file_is_fetched_anew(hub: Hub, tmp_path: Path) -> None:
    hub.lies = {SHARD: "0" * 64}
    with fetching(hub, tmp_path / "weights") as fetch:
        code, words = fetch.end()
    assert code == End.WRONG_BYTES
    assert f"{SHARD}: SHA-256" in words
    assert not (tmp_path / "weights" / LOCK_NAME).exists()
    hub.lies = {}
    with fetching(hub, tmp_path / "weights") as fetch:
        assert fetch.end() == (0, "")
    verify(tmp_path / "weights", read_lock(tmp_path / "weights"), PRESET)


@pytest.mark.parametrize(
    ("status", "end", "words"),
    [
        (401, End.NO_ACCESS, "give a token"),
        (403, End.NO_ACCESS, "give a token"),
        (404, End.NOT_THERE, "check repo and revision"),
    ],
)
def test_each_refusal_has_its_exit_code_and_sentence(
    hub: Hub, tmp_path: Path, status: int, end: End, words: str
) -> None:
    hub.status = status
    canary = "hf_canary"
    with fetching(hub, tmp_path / "weights", HF_TOKEN=canary) as fetch:
        code, told = fetch.end()
    assert code == end
    assert words in told
    assert PRESET.revision in told
    assert canary not in told


def test_a_gated_model_comes_with_the_token(hub: Hub, tmp_path: Path) -> None:
    canary = "hf_canary"
    hub.token = canary
    with fetching(hub, tmp_path / "weights", HF_TOKEN=canary) as fetch:
        assert fetch.end() == (0, "")


def test_another_revision_in_the_folder_is_not_taken_for_this_one(hub: Hub, tmp_path: Path) -> None:
    with fetching(hub, tmp_path / "weights") as fetch:
        fetch.end()
    lock = tmp_path / "weights" / LOCK_NAME
    lock.write_text(lock.read_text().replace(PRESET.revision, "1" * 40))
    assert whole(tmp_path / "weights", PRESET) is None
    (tmp_path / "weights" / SHARD).unlink()
    lock.write_text(lock.read_text().replace("1" * 40, PRESET.revision))
    assert whole(tmp_path / "weights", PRESET) is None


@pytest.mark.parametrize(
    ("cause", "end"),
    [
        (OSError(28, "No space left on device"), End.DISK_FULL),
        (OSError(101, "Network is unreachable"), End.UNREACHABLE),
        (PermissionError(13, "Permission denied"), End.FAILED),
        (None, End.FAILED),
    ],
)
def test_a_failure_without_an_answer_is_judged_by_its_cause(
    cause: Exception | None, end: End
) -> None:
    failure = DownloadFailed("6 attempts")
    failure.__cause__ = cause
    assert end_of(failure) is end


def test_an_error_of_the_disk_is_told_from_any_other() -> None:
    assert end_of(OSError(28, "No space left on device")) is End.DISK_FULL
    assert end_of(OSError(5, "Input/output error")) is End.FAILED


def test_a_full_disk_is_not_tried_again() -> None:
    tries: list[str] = []

    def write() -> None:
        tries.append("once")
        raise OSError(28, "No space left on device")

    with pytest.raises(DownloadFailed, match="No space left") as failed:
        attempt(write, "model.safetensors", tries.append)
    assert tries == ["once"]
    assert end_of(failed.value) is End.DISK_FULL
