"""
Bring the files of one pinned revision from a model hub, or from a folder, and nothing else.

Fourteen gigabytes over a network that fails now and then: several files come at once, what arrived
is kept and continued, and the first failure that cannot pass stops the rest. The revision is named
for every file, config and tokenizer included, and nothing counts as there before its size and hash
are those that the hub, or a lock from an earlier day, has stated.

huggingface_hub is imported where it is used: the operator's image carries this file without it.
"""

import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from model_presets.ends import End
from model_presets.hub import (
    DownloadFailed,
    Report,
    attempt,
    check_blob,
    chosen_names,
    list_files,
    named,
    open_hub,
)
from model_presets.lock import Lock, WrongWeights, hash_files
from model_presets.preset import Preset
from model_presets.progress import Meter, folder_bytes, gigabytes, reporting
from model_presets.remote_file import RemoteFile
from model_presets.transfer import transfer

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# More do not fill a line that four do not fill, and each holds a connection of the hub.
PARALLEL_FILES = 4


def download(
    preset: Preset,
    directory: Path,
    *,
    endpoint: str | None = None,
    token: str | None = None,
    expected: Lock | None = None,
    report: Report = print,
) -> None:
    """
    Fetch a preset's files at its pinned revision into a folder.

    Args:
        preset: Says which repository and revision.
        directory: Where to; made when it is missing. What a cut-off run left there is continued.
        endpoint: Address of the hub; none for the public one.
        token: For a repository that asks who comes.
        expected: A lock of the same revision: exactly its files are fetched and must match it.
        report: Takes the lines of progress.

    Raises:
        DownloadFailed: after several tries of one file, or at once where trying is no use.
        WrongWeights: when a file that arrived is not the one that the hub or the lock describes.
    """
    bring(open_hub(endpoint, token), preset, directory, expected=expected, report=report)


def bring(
    api: "HfApi",
    preset: Preset,
    directory: Path,
    *,
    expected: Lock | None = None,
    report: Report = print,
    watch: Callable[[Meter], None] = lambda _meter: None,
) -> None:
    """
    Do what `download` does, from a hub that is open already.

    Args:
        api: The hub's client.
        preset: Says which repository and revision.
        directory: Where to.
        expected: As `download` takes it.
        report: Takes the lines of progress.
        watch: Takes the meter, once the number of bytes is known.

    Raises:
        DownloadFailed: as `download` does.
        WrongWeights: as `download` does.
    """
    files = attempt(lambda: list_files(api, preset), named(preset), report)
    if expected is not None:
        files = _only_expected(files, expected, preset)
    total = sum(file.size for file in files)
    report(f"{named(preset)}: {len(files)} files, {gigabytes(total)}")
    have = folder_bytes(directory)
    _refuse_full_disk(directory, total - have)
    meter = Meter(total_bytes=total, have_bytes=have)
    watch(meter)
    with reporting(meter, report):
        _fetch_all(
            [
                partial(
                    attempt,
                    partial(
                        transfer, api, preset.repo, preset.revision, file, directory, meter.add
                    ),
                    file.path,
                    report,
                )
                for file in sorted(files, key=lambda file: -file.size)
            ],
            meter,
        )
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
    for name in chosen_names([path.name for path in source.iterdir() if path.is_file()]):
        shutil.copyfile(source / name, directory / name)  # follows the cache's links to its blobs


def _fetch_all(fetches: Iterable[partial[None]], meter: Meter) -> None:
    """Run several at once; the first failure stops those that run and those that wait."""
    pool = ThreadPoolExecutor(PARALLEL_FILES, thread_name_prefix="download")
    running = [pool.submit(each) for each in fetches]
    try:
        wait(running, return_when=FIRST_EXCEPTION)
    except KeyboardInterrupt:  # who stops it does not wait for the gigabytes under way
        meter.stop()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    failed = next((each for each in running if each.done() and each.exception()), None)
    if failed is not None:
        meter.stop()
    pool.shutdown(wait=True, cancel_futures=True)
    if failed is not None:
        failed.result()


def _only_expected(files: list[RemoteFile], expected: Lock, preset: Preset) -> list[RemoteFile]:
    """Take the lock's word for names, sizes and hashes; the hub must have just these."""
    if (expected.repo, expected.revision) != (preset.repo, preset.revision):
        raise DownloadFailed(
            f"the lock is of {expected.repo} at {expected.revision}, the preset pins "
            f"{named(preset)}; write the lock again"
        )
    offered = {file.path: file for file in files}
    wanted = (*expected.files, *expected.converted_from)
    missing = sorted({file.path for file in wanted} - offered.keys())
    if missing:
        raise DownloadFailed(f"{', '.join(missing)}: in the lock, but not at {named(preset)}")
    return [RemoteFile(path=file.path, size=file.size, sha256=file.sha256) for file in wanted]


def _compare(directory: Path, files: list[RemoteFile]) -> None:
    """Hold what arrived against what was stated; a wrong file goes, so that the next run asks."""
    for file in files:
        path = directory / file.path
        size = path.stat().st_size
        if size != file.size:
            path.unlink()
            raise WrongWeights(path, f"{size} bytes, expected {file.size}")
        if file.sha256 is None:
            _compare_blob(directory, file)
    stated = {file.path: file.sha256 for file in files if file.sha256 is not None}
    for found in hash_files(directory, [directory / name for name in stated]):
        if found.sha256 != stated[found.path]:
            (directory / found.path).unlink()
            why = f"SHA-256 {found.sha256}, expected {stated[found.path]}; fetch it again"
            raise WrongWeights(directory / found.path, why)


def _compare_blob(directory: Path, file: RemoteFile) -> None:
    try:
        check_blob(directory, file)
    except DownloadFailed:
        (directory / file.path).unlink()
        raise


def _refuse_full_disk(directory: Path, missing_bytes: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(directory).free
    if free < missing_bytes:
        raise DownloadFailed(
            f"{directory}: {gigabytes(free)} free, {gigabytes(missing_bytes)} to come; make room",
            end=End.DISK_FULL,
        )
