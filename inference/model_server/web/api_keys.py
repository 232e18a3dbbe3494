"""
Let in who shows a key of the file, and nobody else.

The file has one key per line; a folder means every file in it, as a mounted Secret has one file per
entry. It is read again when it has changed, so that keys rotate without a restart; while it cannot
be read, the keys that were read last stand, since a half-written file must lock nobody out.

Only hashes are kept and compared, all of them and each in constant time: neither the keys' number
nor their letters show in how long an answer takes, and a dump of this process holds no key.

Must not import torch, transformers, or anything of HTTP.
"""

import hashlib
import hmac
import logging
import time
from collections.abc import Callable
from pathlib import Path

from model_server.settings import BadStart

logger = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 1.0
SCHEME = b"bearer "

Stamp = tuple[tuple[str, int, int, int], ...]


class ApiKeys:
    """Know which keys are valid now."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Read the keys.

        Raises:
            BadStart: If there is no key: a server that lets nobody in is a mistake.
        """
        self._path = path
        self._clock = clock
        self._looked = clock()
        try:
            self._stamp = _stamp(path)
            self._hashes = _read(path)
        except (OSError, UnicodeDecodeError) as error:
            raise BadStart(f"--api-keys {path}: {_reason(error)}") from None
        if not self._hashes:
            raise BadStart(f"--api-keys {path}: holds no key; write one per line")

    def admit(self, authorization: bytes | None) -> bool:
        """Tell whether the value of an Authorization header shows a valid key."""
        self._look_again()
        if authorization is None or authorization[: len(SCHEME)].lower() != SCHEME:
            return False
        shown = _hash(authorization[len(SCHEME) :].strip())
        found = False
        for known in self._hashes:
            found |= hmac.compare_digest(shown, known)
        return found

    def _look_again(self) -> None:
        """Read the file if it is another one than before, at most once a second."""
        now = self._clock()
        if now - self._looked < LOOK_AGAIN_SECONDS:
            return
        self._looked = now
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return
            hashes = _read(self._path)
        except (OSError, UnicodeDecodeError) as error:
            logger.warning("api_keys_unreadable", extra={"reason": _reason(error)})
            return
        if not hashes:
            logger.warning("api_keys_unreadable", extra={"reason": "no key in the file"})
            return
        self._stamp, self._hashes = stamp, hashes
        logger.info("api_keys_read", extra={"keys": len(hashes)})


def _files(path: Path) -> list[Path]:
    """Return the files of a folder, without those that a Secret mount hides behind a dot."""
    if not path.is_dir():
        return [path]
    return sorted(p for p in path.iterdir() if not p.name.startswith(".") and p.is_file())


def _stamp(path: Path) -> Stamp:
    """Say which files these are: a Secret mount changes them by a link to another folder."""
    states = [(file.name, file.stat()) for file in _files(path)]
    return tuple((name, s.st_ino, s.st_mtime_ns, s.st_size) for name, s in states)


def _read(path: Path) -> frozenset[bytes]:
    lines = [line.strip() for file in _files(path) for line in file.read_text("utf-8").splitlines()]
    return frozenset(_hash(line.encode()) for line in lines if line and not line.startswith("#"))


def _hash(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _reason(error: OSError | UnicodeDecodeError) -> str:
    """Say what is wrong with the file; a decoding error's own text would show bytes of a key."""
    return (error.strerror or "unreadable") if isinstance(error, OSError) else "is not UTF-8 text"
