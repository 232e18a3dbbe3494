"""
Tie a folder of weights to one revision, file by file, and notice any other byte.

A pin on the weights alone is not a pin: a config or a tokenizer from elsewhere changes answers in
silence, and a stray pickle or script is code that somebody may load. So the lock names every file
of the folder with its size and SHA-256, and a folder that holds more, less or other than its lock
is refused, before anything in it is read.

Imports the standard library only: the server verifies with it before it loads torch.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_presets.preset import Preset

LOCK_NAME = "weights.lock.json"
LOCK_VERSION = 1
HASHING_THREADS = 4  # one core hashes 1 to 2 GB/s, a disk of today reads more

_WANTED = re.compile(
    r"config\.json|generation_config\.json"
    r"|model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json"
    r"|tokenizer\.json|tokenizer\.model|tokenizer_config\.json"
    r"|special_tokens_map\.json|added_tokens\.json|chat_template\.(jinja|json)"
)


class WrongWeights(Exception):
    """Name the file of a folder of weights that cannot be trusted, and why."""

    def __init__(self, path: Path, why: str) -> None:
        """Keep the file and the reason for the caller's own message."""
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedFile:
    """Hold what one file must be."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """
    Hold what a folder of weights must be.

    Attributes:
        repo: The hub's id.
        revision: The hub's commit that every file came from.
        files: Every file of the folder but the lock itself, by path.
        converted_from: Where the revision held pickled shards only: these, as they came.
    """

    repo: str
    revision: str
    files: tuple[LockedFile, ...]
    converted_from: tuple[LockedFile, ...] = ()

    @property
    def text(self) -> str:
        """Return the lock file's content: the same lock gives the same bytes."""
        content = {"version": LOCK_VERSION, **asdict(self)}
        return json.dumps(content, indent=2, sort_keys=True) + "\n"

    @property
    def digest(self) -> str:
        """Return one value for all the bytes of the folder: the SHA-256 of the lock file."""
        return f"sha256:{hashlib.sha256(self.text.encode()).hexdigest()}"

    @property
    def total_bytes(self) -> int:
        """Return the bytes of all files together."""
        return sum(file.size for file in self.files)


def is_wanted(name: str) -> bool:
    """Say whether a file of a hub's repository belongs into a folder of weights."""
    return _WANTED.fullmatch(name) is not None


def make_lock(directory: Path, preset: Preset, converted_from: tuple[LockedFile, ...] = ()) -> Lock:
    """
    Describe a folder of weights as it is now.

    Raises:
        WrongWeights: when it holds a file that no server should meet, or is not there.
    """
    paths = _safe_files(directory)
    if not any(path.suffix == ".safetensors" for path in paths):
        raise WrongWeights(directory, "holds no *.safetensors; fetch the weights, or convert them")
    return Lock(
        repo=preset.repo,
        revision=preset.revision,
        files=tuple(hash_files(directory, paths)),
        converted_from=converted_from,
    )


def require_folder(directory: Path) -> None:
    """
    See that there is a folder.

    Raises:
        WrongWeights: when there is none.
    """
    if not directory.is_dir():
        raise WrongWeights(directory, "not a folder; give the one that holds the weights")


def write_lock(directory: Path, lock: Lock) -> Path:
    """Write the lock into the folder that it describes."""
    path = directory / LOCK_NAME
    path.write_text(lock.text, encoding="utf-8")
    return path


def read_lock(directory: Path) -> Lock:
    """
    Read the lock of a folder of weights.

    Raises:
        WrongWeights: when there is none, or it is none of ours.
    """
    require_folder(directory)
    return read_lock_file(directory / LOCK_NAME)


def read_lock_file(path: Path) -> Lock:
    """
    Read a lock from wherever it is kept.

    Raises:
        WrongWeights: when there is none, or it is none of ours.
    """
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if raw["version"] != LOCK_VERSION:
            why = f"version {raw['version']!r}, expected {LOCK_VERSION}; write the lock again"
            raise WrongWeights(path, why)
        return Lock(
            repo=raw["repo"],
            revision=raw["revision"],
            files=tuple(LockedFile(**file) for file in raw["files"]),
            converted_from=tuple(LockedFile(**file) for file in raw["converted_from"]),
        )
    except FileNotFoundError as error:
        raise WrongWeights(path, "missing; write it with `python -m model_presets lock`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise WrongWeights(path, f"not a lock file ({error}); write the lock again") from error


def verify(directory: Path, lock: Lock, preset: Preset | None = None) -> None:
    """
    Compare every byte of a folder with its lock.

    Args:
        directory: The folder of weights.
        lock: What it must be.
        preset: Where given, the lock must be of this preset's repository and revision.

    Raises:
        WrongWeights: names the first file that is missing, too much, cut short or changed.
    """
    if preset is not None and (lock.repo, lock.revision) != (preset.repo, preset.revision):
        why = (
            f"holds {lock.repo} at {lock.revision}, but preset {preset.name} pins "
            f"{preset.repo} at {preset.revision}; fetch the weights again"
        )
        raise WrongWeights(directory / LOCK_NAME, why)
    expected = {file.path: file for file in lock.files}
    paths = {str(path.relative_to(directory)): path for path in _safe_files(directory)}
    for name in sorted(expected.keys() | paths.keys()):
        path = directory / name
        if name not in paths:
            raise WrongWeights(path, "in the lock, but missing; fetch the weights again")
        if name not in expected:
            raise WrongWeights(path, "not in the lock; remove it")
        size = path.stat().st_size
        if size != expected[name].size:
            raise WrongWeights(
                path, f"{size} bytes, expected {expected[name].size}; fetch it again"
            )
    for found in hash_files(directory, sorted(paths.values())):
        wanted = expected[found.path]
        if found.sha256 != wanted.sha256:
            why = f"SHA-256 {found.sha256}, expected {wanted.sha256}; fetch it again"
            raise WrongWeights(directory / found.path, why)


def hash_files(directory: Path, paths: Iterable[Path]) -> list[LockedFile]:
    """Describe files by size and SHA-256, several at once, in the order given."""

    def described(path: Path) -> LockedFile:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        name = str(path.relative_to(directory))
        return LockedFile(path=name, size=path.stat().st_size, sha256=digest)

    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        return list(pool.map(described, paths))


def _safe_files(directory: Path) -> list[Path]:
    """
    List the folder's files but the lock, by name.

    Raises:
        WrongWeights: for a link out of the folder, a file that no server needs (pickles and
            scripts among them), or a config that asks for remote code.
    """
    if not directory.is_dir():
        raise WrongWeights(directory, "not a folder; give the folder of the weights")
    files = []
    for path in sorted(directory.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(directory.resolve()):
            raise WrongWeights(
                path, f"a link to {path.resolve()}, out of the folder; copy the file"
            )
        if path.is_dir() or path.name == LOCK_NAME:
            continue
        name = str(path.relative_to(directory))
        if not is_wanted(name):
            why = (
                "not config, tokenizer or safetensors (pickles and scripts can run code); remove it"
            )
            raise WrongWeights(path, why)
        files.append(path)
    _refuse_remote_code(directory / "config.json")
    return files


def _refuse_remote_code(config: Path) -> None:
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WrongWeights(config, "missing; fetch the weights again") from error
    except ValueError as error:
        raise WrongWeights(config, f"not JSON ({error}); fetch it again") from error
    if not isinstance(content, dict) or "auto_map" in content:
        raise WrongWeights(config, "names code of its own (auto_map); only built-in models are run")
