"""
Say how far a long download is: bytes, speed, time left, every few seconds, in one line.

Every file counts into one meter; a meter that was stopped makes its files stop at their next chunk,
so that one failure does not wait for gigabytes that nobody will use.

Imports the standard library only.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock, Thread

REPORT_SECONDS = 5.0


class Stopped(Exception):
    """End one file's download because another one failed."""


class Meter:
    """Count the bytes of several files, from several threads."""

    def __init__(self, *, total_bytes: int, have_bytes: int = 0) -> None:
        """Begin with what an earlier run left."""
        self.total_bytes = total_bytes
        self.have_bytes = have_bytes
        self._begun_with = have_bytes
        self._begun_at = time.monotonic()
        self._counting = Lock()
        self._stopped = Event()

    def add(self, count: int) -> None:
        """
        Count bytes that arrived, or take back some that were of no use.

        Raises:
            Stopped: when the download is being given up.
        """
        if self._stopped.is_set():
            raise Stopped
        with self._counting:
            self.have_bytes += count

    def stop(self) -> None:
        """Let every file stop at its next chunk."""
        self._stopped.set()

    @property
    def bytes_per_second(self) -> float:
        """Return the speed since this run began; what an earlier one left does not count."""
        seconds = time.monotonic() - self._begun_at
        return (self.have_bytes - self._begun_with) / seconds if seconds > 0 else 0.0

    def line(self) -> str:
        """Say bytes, speed and time left."""
        speed = self.bytes_per_second
        left = (
            f"{max(0, self.total_bytes - self.have_bytes) / speed:.0f} s left"
            if speed > 0
            else "waiting"
        )
        have, total = gigabytes(self.have_bytes), gigabytes(self.total_bytes)
        return f"{have} of {total}, {speed / 1e6:.1f} MB/s, {left}"

    def summary(self) -> str:
        """Say what came, and in what time."""
        return f"{gigabytes(self.have_bytes)} in {time.monotonic() - self._begun_at:.1f} s"


@contextmanager
def reporting(meter: Meter, report: Callable[[str], None]) -> Iterator[None]:
    """Report a meter's line every few seconds, and its summary after a success."""
    done = Event()

    def watch() -> None:
        while not done.wait(REPORT_SECONDS):
            report(meter.line())

    watcher = Thread(target=watch, name="download-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    report(meter.summary())


def folder_bytes(directory: Path) -> int:
    """Return the bytes of all files below a folder, parts of an earlier run included."""
    sizes = 0
    for path in directory.rglob("*"):
        try:
            sizes += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # a part that was renamed meanwhile
            continue
    return sizes


def gigabytes(count: int) -> str:
    """Write bytes for a person."""
    return f"{count / 1e9:.2f} GB"
