"""
Bring the files of one pinned revision from a model hub, or from a folder, and nothing else.

Fourteen gigabytes over a network that fails now and then: what arrived is kept and continued, a
failure that may pass is tried again, one that cannot (no such revision, no access) is not. The
revision is named for every file, config and tokenizer included; the list of files comes from that
revision too, and the sizes and hashes that the hub states are held against what arrived.

huggingface_hub is imported where it is used: the operator's image carries this file without it.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeVar

from model_presets.lock import WrongWeights, hash_files, is_wanted
from model_presets.preset import Preset

if TYPE_CHECKING:
    from huggingface_hub import HfApi

ATTEMPTS = 6
FIRST_WAIT_SECONDS = 1.0
REPORT_SECONDS = 5.0
FINAL_STATUSES = {401, 403, 404, 410}
PICKLED_PREFIX = "pytorch_model"

Report = Callable[[str], None]
Result = TypeVar("Result")


class DownloadFailed(Exception):
    """Say which file of which revision could not be had, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """Hold what the hub says of one file; `sha256` only of the large ones."""

    path: str
    size: int
    sha256: str | None


def download(
    preset: Preset,
    directory: Path,
    *,
    endpoint: str | None = None,
    token: str | None = None,
    report: Report = print,
) -> None:
    """
    Fetch a preset's files at its pinned revision into a folder.

    Args:
        preset: Says which repository and revision.
        directory: Where to; made when it is missing. What a cut-off run left there is continued.
        endpoint: Address of the hub; none for the public one.
        token: For a repository that asks who comes.
        report: Takes the lines of progress.

    Raises:
        DownloadFailed: after `ATTEMPTS` tries of one file, or at once where trying is no use.
        WrongWeights: when a file that arrived is not the one that the hub described.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415 - see the module's docstring

    api = HfApi(endpoint=endpoint, token=token or False)
    files = _attempt(lambda: list_files(api, preset), f"{preset.repo} at {preset.revision}", report)
    total = sum(file.size for file in files)
    report(f"{preset.repo} at {preset.revision}: {len(files)} files, {_gigabytes(total)}")
    _refuse_full_disk(directory, total - _folder_bytes(directory))
    with _progress(directory, total, report):
        for file in files:
            _attempt(partial(_fetch, api, preset, file, directory), file.path, report)
    shutil.rmtree(directory / ".cache", ignore_errors=True)
    _compare(directory, files)


def copy_folder(preset: Preset, source: Path, directory: Path) -> None:
    """
    Take a preset's files from a folder: one in the hub's cache layout, or the files themselves.

    A cache is asked for the pinned revision. Bare files carry none: whoever gives them vouches for
    them, and the lock then holds them to what they were.

    Raises:
        DownloadFailed: when the folder holds no such revision, or no such files.
    """
    cache = source / f"models--{preset.repo.replace('/', '--')}"
    for snapshots in (cache / "snapshots", source / "snapshots"):
        if snapshots.is_dir():
            source = snapshots / preset.revision
            break
    if not (source / "config.json").is_file():
        raise DownloadFailed(f"{source}: no config.json; give the folder of {preset.repo}")
    directory.mkdir(parents=True, exist_ok=True)
    for name in _chosen([path.name for path in source.iterdir() if path.is_file()]):
        shutil.copyfile(source / name, directory / name)  # follows the cache's links to its blobs


def list_files(api: "HfApi", preset: Preset) -> list[RemoteFile]:
    """List the files of the pinned revision that a server needs, as the hub describes them."""
    info = api.model_info(preset.repo, revision=preset.revision, files_metadata=True)
    if info.sha != preset.revision:
        raise DownloadFailed(f"{preset.repo}: asked for {preset.revision}, the hub gave {info.sha}")
    known = {
        sibling.rfilename: RemoteFile(
            path=sibling.rfilename,
            size=sibling.size or 0,
            sha256=sibling.lfs.sha256 if sibling.lfs else None,
        )
        for sibling in info.siblings or ()
    }
    return [known[name] for name in _chosen(list(known))]


def _chosen(names: list[str]) -> list[str]:
    """Choose config, tokenizer and safetensors; pickled shards only where there are no others."""
    wanted = sorted(name for name in names if is_wanted(name))
    if any(name.endswith(".safetensors") for name in wanted):
        return wanted
    pickled = sorted(
        name
        for name in names
        if name.startswith(PICKLED_PREFIX) and name.endswith((".bin", ".bin.index.json"))
    )
    if not any(name.endswith(".bin") for name in pickled):
        raise DownloadFailed(
            "neither *.safetensors nor pytorch_model*.bin; check repo and revision"
        )
    return [name for name in wanted if not name.endswith(".safetensors.index.json")] + pickled


def _fetch(api: "HfApi", preset: Preset, file: RemoteFile, directory: Path) -> None:
    api.hf_hub_download(
        preset.repo, file.path, revision=preset.revision, local_dir=directory, token=api.token
    )


def _attempt(action: Callable[[], Result], what: str, report: Report) -> Result:
    """Do something that a network may spoil, again and again with a doubling wait."""
    import httpx2  # noqa: PLC0415 - huggingface_hub's client, and as optional

    wait_seconds = FIRST_WAIT_SECONDS
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except (httpx2.HTTPError, OSError) as error:
            if isinstance(error, PermissionError | NotADirectoryError | FileExistsError):
                raise DownloadFailed(f"{what}: {error}") from error
            status = getattr(getattr(error, "response", None), "status_code", None)
            if status in FINAL_STATUSES:
                raise DownloadFailed(f"{what}: {_remedy(status)} ({error})") from error
            if attempt == ATTEMPTS:
                raise DownloadFailed(f"{what}: {ATTEMPTS} attempts; the last: {error}") from error
            report(f"{what}: {error}; again in {wait_seconds:.0f} s")
            time.sleep(wait_seconds)
            wait_seconds *= 2
    raise AssertionError("unreachable")


def _remedy(status: int) -> str:
    if status in (401, 403):
        return f"HTTP {status}: no access; accept the model's terms and give a token (HF_TOKEN)"
    return f"HTTP {status}: not there; check repo and revision of the preset, and the endpoint"


def _compare(directory: Path, files: list[RemoteFile]) -> None:
    """Hold what arrived against what the hub described."""
    for file in files:
        path = directory / file.path
        if path.stat().st_size != file.size:
            raise WrongWeights(path, f"{path.stat().st_size} bytes, the hub said {file.size}")
    large = {file.path: file.sha256 for file in files if file.sha256 is not None}
    for found in hash_files(directory, [directory / name for name in large]):
        if found.sha256 != large[found.path]:
            why = f"SHA-256 {found.sha256}, the hub said {large[found.path]}; fetch it again"
            raise WrongWeights(directory / found.path, why)


def _refuse_full_disk(directory: Path, missing_bytes: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(directory).free
    if free < missing_bytes:
        raise DownloadFailed(
            f"{directory}: {_gigabytes(free)} free, {_gigabytes(missing_bytes)} to come; make room"
        )


@contextmanager
def _progress(directory: Path, total: int, report: Report) -> Iterator[None]:
    """Report bytes, speed and time left now and then, from what lies on the disk."""
    done = Event()
    begun_at = time.monotonic()
    begun_with = _folder_bytes(directory)

    def watch() -> None:
        while not done.wait(REPORT_SECONDS):
            have = _folder_bytes(directory)
            speed = (have - begun_with) / (time.monotonic() - begun_at)
            left = f"{(total - have) / speed:.0f} s left" if speed > 0 else "waiting"
            report(f"{_gigabytes(have)} of {_gigabytes(total)}, {speed / 1e6:.1f} MB/s, {left}")

    watcher = Thread(target=watch, name="download-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    report(f"{_gigabytes(_folder_bytes(directory))} in {time.monotonic() - begun_at:.1f} s")


def _folder_bytes(directory: Path) -> int:
    sizes = 0
    for path in directory.rglob("*"):
        try:
            sizes += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # a part that was renamed meanwhile
            continue
    return sizes


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB"
