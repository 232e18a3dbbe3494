"""
Ask a model hub what one pinned revision holds, and ask again where an answer may come later.

The list of files comes from the revision itself, with the size and a hash of each: SHA-256 for the
large ones, the id of git's blob for the small ones. So every byte that arrives can be held against
what the pinned commit says, config and tokenizer included. A failure that may pass is tried again,
no sooner than the hub asks; one that cannot (no such revision, no access) is not.

huggingface_hub is imported where it is used: the operator's image carries this file without it.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from model_presets.ends import End, is_full_disk
from model_presets.lock import Lock, LockedFile, hash_files, is_wanted
from model_presets.preset import Preset
from model_presets.remote_file import RemoteFile
from model_presets.transfer import transfer

if TYPE_CHECKING:
    from huggingface_hub import HfApi

ATTEMPTS = 6
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 300.0  # a hub that asks for more is asked again anyway
NO_ACCESS_STATUSES = {401, 403}
FINAL_STATUSES = NO_ACCESS_STATUSES | {404, 410}
PICKLED_PREFIX = "pytorch_model"
ADVICE = "For more information check: "
HOPELESS = (PermissionError, NotADirectoryError, FileExistsError)

Report = Callable[[str], None]
Result = TypeVar("Result")


class DownloadFailed(Exception):
    """
    Say which file of which revision could not be had, and why.

    Attributes:
        end: The kind of cause, for a program; none where the failure that caused this one says it.
    """

    def __init__(self, message: str, *, end: End | None = None) -> None:
        """Keep the kind beside the sentence."""
        super().__init__(message)
        self.end = end


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """
    Say how long something is tried, and what is said when it is given up.

    Attributes:
        attempts: Tries in all.
        refused: Raised at once where another try is no use.
        failed: Raised after the last try.
        is_final: Says of which HTTP status another try is no use.
        remedy: Says what to do about such a status.
    """

    attempts: int
    refused: type[Exception]
    failed: type[Exception]
    is_final: Callable[[int], bool]
    remedy: Callable[[int], str]


def open_hub(endpoint: str | None, token: str | None) -> "HfApi":
    """Return the hub's client; without a token nobody comes, whatever this machine keeps."""
    from huggingface_hub import HfApi  # noqa: PLC0415 - see the module's docstring

    return HfApi(endpoint=endpoint, token=token or False)


def list_files(api: "HfApi", preset: Preset) -> list[RemoteFile]:
    """
    List the files of the pinned revision that a server needs, as the hub describes them.

    Raises:
        DownloadFailed: when the hub answers with another commit, or the revision has no weights.
    """
    info = api.model_info(preset.repo, revision=preset.revision, files_metadata=True)
    if info.sha != preset.revision:
        raise DownloadFailed(
            f"{preset.repo}: asked for {preset.revision}, the hub gave {info.sha}",
            end=End.WRONG_BYTES,
        )
    known = {
        sibling.rfilename: RemoteFile(
            path=sibling.rfilename,
            size=sibling.size or 0,
            sha256=sibling.lfs.sha256 if sibling.lfs else None,
            blob_id=None if sibling.lfs else sibling.blob_id,
        )
        for sibling in info.siblings or ()
    }
    return [known[name] for name in chosen_names(list(known))]


def chosen_names(names: list[str]) -> list[str]:
    """
    Choose config, tokenizer and safetensors; pickled shards only where there are no others.

    Raises:
        DownloadFailed: when there are no weights among the names.
    """
    wanted = sorted(name for name in names if is_wanted(name))
    if any(name.endswith(".safetensors") for name in wanted):
        return wanted
    pickled = sorted(
        name
        for name in names
        if name.startswith(PICKLED_PREFIX)
        and name.endswith((".bin", ".bin.index.json"))
        and "/" not in name
    )
    if not any(name.endswith(".bin") for name in pickled):
        raise DownloadFailed(
            "neither *.safetensors nor pytorch_model*.bin; check repo and revision",
            end=End.NOT_THERE,
        )
    return [name for name in wanted if not name.endswith(".safetensors.index.json")] + pickled


def lock_from_hub(
    preset: Preset, *, endpoint: str | None = None, token: str | None = None, report: Report = print
) -> Lock:
    """
    Describe what a download must bring, without fetching the weights.

    The hub states size and SHA-256 of the large files; the small ones are fetched and hashed here.
    Where the revision holds pickled shards only, they stand in `converted_from`.

    Raises:
        DownloadFailed: as `download` does.
    """
    api = open_hub(endpoint, token)
    files = attempt(lambda: list_files(api, preset), named(preset), report)
    locked: list[LockedFile] = []
    with tempfile.TemporaryDirectory(prefix="model-presets-") as folder:
        directory = Path(folder)
        for file in files:
            if file.sha256 is not None:
                locked.append(LockedFile(path=file.path, size=file.size, sha256=file.sha256))
                continue
            attempt(
                partial(transfer, api, preset.repo, preset.revision, file, directory),
                file.path,
                report,
            )
            check_blob(directory, file)
            locked.extend(hash_files(directory, [directory / file.path]))
    pickled = tuple(file for file in locked if file.path.startswith(PICKLED_PREFIX))
    return Lock(
        repo=preset.repo,
        revision=preset.revision,
        files=tuple(file for file in locked if file not in pickled),
        converted_from=pickled,
    )


def check_blob(directory: Path, file: RemoteFile) -> None:
    """
    Hold a small file against the id that git gave its content in the pinned commit.

    Raises:
        DownloadFailed: when it is another content, whatever the hub called it.
    """
    content = (directory / file.path).read_bytes()
    header = f"blob {len(content)}\0".encode()
    found = hashlib.sha1(header + content, usedforsecurity=False).hexdigest()
    if file.blob_id is not None and found != file.blob_id:
        raise DownloadFailed(
            f"{file.path}: its content has git's id {found}, the pinned commit says "
            f"{file.blob_id}; it comes from another revision, or was changed on the way",
            end=End.WRONG_BYTES,
        )


def named(preset: Preset) -> str:
    """Name a revision in a sentence."""
    return f"{preset.repo} at {preset.revision}"


def attempt(
    action: Callable[[], Result], what: str, report: Report, patience: Patience | None = None
) -> Result:
    """
    Do something that a network may spoil, again and again with a doubling wait.

    Raises:
        DownloadFailed: after `ATTEMPTS` tries, or at once where trying is no use; with another
            patience what that one says.
    """
    import httpx2  # noqa: PLC0415 - huggingface_hub's client, and as optional

    known = patience or DOWNLOADING
    wait_seconds = FIRST_WAIT_SECONDS
    for number in range(1, known.attempts + 1):
        try:
            return action()
        except (httpx2.HTTPError, OSError) as error:
            if isinstance(error, HOPELESS) or is_full_disk(error):
                raise known.refused(f"{what}: {in_a_line(error)}") from error
            response = getattr(error, "response", None)
            status = getattr(response, "status_code", None)
            if status is not None and known.is_final(status):
                raise known.refused(
                    f"{what}: {known.remedy(status)} ({in_a_line(error)})"
                ) from error
            if number == known.attempts:
                raise known.failed(
                    f"{what}: {number} attempts; the last: {in_a_line(error)}"
                ) from error
            asked = retry_after_seconds(getattr(response, "headers", {}))
            pause = min(max(wait_seconds, asked), LONGEST_WAIT_SECONDS)
            report(f"{what}: {in_a_line(error)}; again in {pause:.0f} s")
            time.sleep(pause)
            wait_seconds *= 2
    raise AssertionError("unreachable")


def in_a_line(error: Exception) -> str:
    """Return the client's words without its line breaks and its advice to read about HTTP."""
    lines = (line.strip() for line in str(error).splitlines())
    kept = " ".join(line for line in lines if line and not line.startswith(ADVICE))
    return kept or type(error).__name__


def retry_after_seconds(headers: "dict[str, str]") -> float:
    """Return how long a hub asks to be left alone; 0 where it does not, or names a date."""
    value = headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else 0.0


def _remedy(status: int) -> str:
    if status in NO_ACCESS_STATUSES:
        return (
            f"HTTP {status}: no access; accept the model's terms and give a token "
            "(HF_TOKEN, or HF_TOKEN_PATH for a file)"
        )
    return f"HTTP {status}: not there; check repo and revision of the preset, and the endpoint"


DOWNLOADING = Patience(
    attempts=ATTEMPTS,
    refused=DownloadFailed,
    failed=DownloadFailed,
    is_final=FINAL_STATUSES.__contains__,
    remedy=_remedy,
)
