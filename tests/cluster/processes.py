"""
Processes that outlive the program that started them, and can be ended by another one.

A process is a folder entry: `run/<name>.json` holds its command, its pid and its start time, and
`logs/<name>.log` what it prints. Nothing else remembers it, so `up` in one shell and `down` in
another speak of the same process. Invariant: a pid is signalled only while its start time is the
recorded one, so a pid that the kernel gave to somebody else is never touched.

Linux only: start times come from /proc.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.cluster.surroundings import environment
from tests.cluster.whole_files import write_whole

T = TypeVar("T")

POLL_SECONDS = 0.05
LOG_TAIL_LINES = 25
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class NotReadyError(RuntimeError):
    """A process ended or is not ready in time; the message has its last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process below the folder of a cluster, running or not."""

    directory: Path
    name: str

    @property
    def log(self) -> Path:
        """The file that holds what the process printed."""
        return self.directory / "logs" / f"{self.name}.log"

    @property
    def record(self) -> Path:
        """The file that holds command, pid and start time."""
        return self.directory / "run" / f"{self.name}.json"

    def pid(self) -> int | None:
        """Return the pid while this very process runs, else None."""
        try:
            recorded = json.loads(self.record.read_text())
        except FileNotFoundError:
            return None
        pid = int(recorded["pid"])
        _reap(pid)
        identity = process_identity(pid)
        return pid if identity is not None and identity == recorded["identity"] else None

    def log_tail(self) -> str:
        """Return the last lines that the process printed."""
        try:
            text = self.log.read_text(errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(text.splitlines()[-LOG_TAIL_LINES:]) or "(empty log)"

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; return whether the process was there to receive it."""
        pid = self.pid()
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def stop(self, *, grace_seconds: float = 10) -> None:
        """End the process: SIGTERM, then SIGKILL once the grace is over. Its record goes too."""
        if self.signal(signal.SIGTERM):
            self.signal(signal.SIGCONT)  # a paused process cannot hear SIGTERM
            if not self._gone_within(grace_seconds):
                self.kill()
        self.record.unlink(missing_ok=True)

    def kill(self) -> None:
        """End the process at once, as a crash would; the record stays, for `restart`."""
        if self.signal(signal.SIGKILL) and not self._gone_within(10):
            raise NotReadyError(f"{self.name}: pid {self.pid()} survived SIGKILL for 10 s")

    def restart(self) -> "Process":
        """Start the recorded command again; the log goes on in the same file."""
        recorded = json.loads(self.record.read_text())
        if self.pid() is not None:
            self.stop()
        return start(self.directory, self.name, recorded["arguments"], recorded["environment"])

    def wait_until(
        self, condition: Callable[[], T | None], *, what: str, deadline_seconds: float
    ) -> T:
        """
        Wait until a condition gives a true value, and return that.

        Raises:
            NotReadyError: the process ended first, or the deadline passed.
        """
        give_up = time.monotonic() + deadline_seconds
        while True:
            if value := condition():
                return value
            if self.pid() is None:
                trouble = f"{self.name} ended before {what}"
            elif time.monotonic() > give_up:
                trouble = f"{self.name}: not {what} after {deadline_seconds:.0f} s"
            else:
                time.sleep(POLL_SECONDS)
                continue
            raise NotReadyError(f"{trouble}; its last words ({self.log}):\n{self.log_tail()}")

    def _gone_within(self, seconds: float) -> bool:
        give_up = time.monotonic() + seconds
        while self.pid() is not None:
            if time.monotonic() > give_up:
                return False
            time.sleep(POLL_SECONDS)
        return True


def start(
    directory: Path,
    name: str,
    arguments: Sequence[str | Path],
    extra_environment: Mapping[str, str] | None = None,
) -> Process:
    """
    Start a program in a session of its own, its output in a log file of the folder.

    Args:
        directory: the cluster's folder.
        name: unique within the cluster; names the log and the record.
        arguments: the command, its first entry the program (a path, or a name on PATH).
        extra_environment: variables on top of this process's own.
    """
    process = Process(directory=directory, name=name)
    if (pid := process.pid()) is not None:
        raise NotReadyError(f"{name} runs already, as pid {pid} ({process.record})")
    for folder in (process.log.parent, process.record.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [str(argument) for argument in arguments]
    log_flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    # posix_spawn and not subprocess: no object that must outlive the child, or complains at exit.
    pid = os.posix_spawnp(
        command[0],
        command,
        environment() | dict(extra_environment or {}),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(process.log), log_flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        # Python ignores these two, and an ignored signal would stay ignored in the child.
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
    )
    entry = {
        "pid": pid,
        "identity": process_identity(pid),
        "arguments": command,
        "environment": dict(extra_environment or {}),
    }
    write_whole(process.record, json.dumps(entry, indent=1))
    return process


def processes(directory: Path) -> list[Process]:
    """Return the processes recorded in a folder, the youngest first: the order to stop them in."""
    records = sorted(
        (directory / "run").glob("*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True
    )
    return [Process(directory=directory, name=record.stem) for record in records]


def process_identity(pid: int) -> str | None:
    """Return what tells this process from a later one with the same pid, or None if it is gone."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # Fields after the parenthesised name, which may hold anything. Source: proc_pid_stat(5).
    fields = status.rpartition(")")[2].split()
    state, threads, start_ticks = fields[0], int(fields[17]), fields[19]
    # NB: a killed program can be a zombie whose other threads still hold its ports.
    ended = state in "ZX" and threads <= 1
    return None if ended else f"{BOOT_ID.read_text().strip()}/{start_ticks}"


def _reap(pid: int) -> None:
    """Collect the exit status if the process is an ended child of ours."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
