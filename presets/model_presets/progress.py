"""
Say how far a long download is: bytes, speed, time left, every few seconds, in one line.

Every file's client counts into one meter; a meter that was stopped makes its clients stop at their
next chunk, so that one failure does not wait for gigabytes that nobody will use.

Imports the standard library only; the class that the hub's client wants is made on demand.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

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
        Count bytes that arrived.

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

    def line(self) -> str:
        """Say bytes, speed and time left."""
        seconds = time.monotonic() - self._begun_at
        speed = (self.have_bytes - self._begun_with) / seconds if seconds > 0 else 0.0
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

    def progress_class(self) -> type:
        """Return the class of progress bars through which huggingface_hub tells its chunks."""
        from tqdm import tqdm  # noqa: PLC0415 - huggingface_hub's

        meter = self

        class Counting(tqdm):  # type: ignore[misc] # tqdm comes without types
            """Draw nothing, count everything once."""

            def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - tqdm's own
                # A transfer in chunks of its own shows two bars: what came, and the file of it.
                self.counts = not str(options.get("desc", "")).endswith("downloading bytes")
                options.pop("name", None)
                super().__init__(*arguments, **{**options, "disable": True})

            def update(self, n: float | None = 1) -> bool | None:
                if self.counts:
                    meter.add(int(n or 0))
                return None

        return Counting


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
