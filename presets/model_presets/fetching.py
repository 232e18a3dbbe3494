"""
Fetch a preset's weights when the pod starts, and tell whoever asks how far they are.

Runs before the server, in a container of its own that may be killed and started again at any byte:
what has arrived stays and is continued, and the lock is written last. So a folder with a lock is
whole, and one without is work to go on with. The bytes of a whole one are left to the server, which
compares all of them.

`GET /ready` answers as the model server does (docs/architecture.md), on the port that the server
takes when this has ended: the operator asks one address all the way.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from model_presets.convert import convert
from model_presets.download import bring
from model_presets.ends import End, is_full_disk
from model_presets.hub import (
    FINAL_STATUSES,
    HOPELESS,
    NO_ACCESS_STATUSES,
    DownloadFailed,
    Report,
    open_hub,
)
from model_presets.lock import Lock, WrongWeights, make_lock, read_lock, write_lock
from model_presets.preset import Preset
from model_presets.progress import Meter
from model_presets.tiny import make_tiny

FETCHING = "fetching"


@dataclass(slots=True)
class Progress:
    """Hold the meter once there is one."""

    meter: Meter | None = None

    def watch(self, meter: Meter) -> None:
        """Take the meter of the download that begins."""
        self.meter = meter

    def answer(self) -> dict[str, Any]:
        """Say how far it is, in the words of the contract."""
        meter = self.meter
        figures = {
            "bytes_loaded": meter.have_bytes if meter else 0,
            "bytes_total": meter.total_bytes if meter else 0,
            "bytes_per_second": round(meter.bytes_per_second) if meter else 0,
        }
        return {"ready": False, "phase": FETCHING, "progress": figures, "error": None}


def fetch_weights(
    preset: Preset,
    directory: Path,
    *,
    endpoint: str | None,
    token: str | None,
    progress: Progress,
    report: Report,
) -> Lock:
    """
    Bring the weights into a folder, and lock them; what is whole already is left as it is.

    Raises:
        DownloadFailed: The hub does not give them.
        WrongWeights: A file is not the one that the hub has stated for the pinned revision.
    """
    known = whole(directory, preset)
    if known is not None:
        report(f"{directory}: whole already, {known.total_bytes} bytes")
        return known
    if preset.seed is not None:
        make_tiny(directory, preset.seed, name=preset.name)
    else:
        hub = open_hub(endpoint, token)
        bring(hub, preset, directory, report=report, watch=progress.watch)
    lock = make_lock(directory, preset, convert(directory))
    write_lock(directory, lock)
    report(f"locked {len(lock.files)} files, {lock.total_bytes} bytes: {lock.digest}")
    return lock


def whole(directory: Path, preset: Preset) -> Lock | None:
    """Return the lock of a folder that an earlier run has finished for this revision."""
    try:
        lock = read_lock(directory)
    except WrongWeights:
        return None
    there = all(
        (directory / file.path).is_file() and (directory / file.path).stat().st_size == file.size
        for file in lock.files
    )
    return lock if there and (lock.repo, lock.revision) == (preset.repo, preset.revision) else None


def end_of(error: BaseException) -> End:
    """Say which exit code tells this failure."""
    if isinstance(error, WrongWeights):
        return End.WRONG_BYTES
    if is_full_disk(error):
        return End.DISK_FULL
    if not isinstance(error, DownloadFailed):
        return End.FAILED
    return error.end or _end_by(error.__cause__)


def _end_by(cause: BaseException | None) -> End:
    """Judge what was tried in vain; whatever is no answer of the hub is a line that broke."""
    status = getattr(getattr(cause, "response", None), "status_code", None)
    if cause is None or isinstance(cause, HOPELESS):
        return End.FAILED
    if is_full_disk(cause):
        return End.DISK_FULL
    if status in NO_ACCESS_STATUSES:
        return End.NO_ACCESS
    return End.NOT_THERE if status in FINAL_STATUSES else End.UNREACHABLE


@contextmanager
def telling(progress: Progress, port: int) -> Iterator[int]:
    """
    Answer `GET /ready` on a port, 0 for a free one, until the block ends.

    Raises:
        OSError: The port cannot be opened.
    """

    class Handler(BaseHTTPRequestHandler):
        """Answer one question; any other path is not there."""

        protocol_version = "HTTP/1.1"
        timeout = 10.0

        def do_GET(self) -> None:
            known = self.path == "/ready"
            content = json.dumps(progress.answer() if known else {}).encode()
            self.send_response(503 if known else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Stay silent: the lines of the download are the log."""

    server = ThreadingHTTPServer(("0.0.0.0", port), Handler)  # noqa: S104 - asked at the pod's address
    server.daemon_threads = True
    asked = Thread(target=server.serve_forever, name="fetch-progress", daemon=True)
    asked.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        asked.join()
        server.server_close()
