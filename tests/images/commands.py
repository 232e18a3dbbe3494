"""
Run a builder's program, and tell its steps as they come.

A build prints thousands of lines, of which a person wants one per step. All of them go to a log
file, whose end is shown when the program fails.
"""

import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.progress import say

# "STEP 3/9: RUN ..." (buildah), "#7 [runtime 3/9] RUN ..." and "Step 3/9 : RUN ..." (docker).
STEP = re.compile(r"(?:STEP|Step) (\d+/\d+) ?: (.*)|#\d+ \[(?:\S+ )?(\d+/\d+)\] (.*)")
SHOWN_CHARACTERS = 70
TAIL_LINES = 30


class BuildFailedError(RuntimeError):
    """A builder's program failed; the message has the end of its log."""


def output_of(command: Sequence[str]) -> str:
    """
    Run a short command and return what it printed.

    Raises:
        BuildFailedError: with the command and its words.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildFailedError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def run_logged(command: Sequence[str], log: Path, title: str) -> None:
    """
    Run a long command, log all of its output and say each step when it begins.

    Raises:
        BuildFailedError: with the end of the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (
        log.open("w", encoding="utf-8") as output,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            output.write(line)
            if step := step_of(line):
                say(f"images: {title}: {time.monotonic() - began:5.1f} s: {step}")
    if process.returncode != 0:
        tail = "\n".join(log.read_text(encoding="utf-8").splitlines()[-TAIL_LINES:])
        raise BuildFailedError(f"{title} failed ({log}):\n{tail}")


def step_of(line: str) -> str | None:
    """Return a builder's step in a few words, where a line announces one that does work."""
    found = STEP.search(line)
    if found is None:
        return None
    number, words = (found[1], found[2]) if found[1] else (found[3], found[4])
    if words.split(" ", 1)[0] not in {"FROM", "COPY", "ADD", "RUN"}:
        return None
    words = " ".join(words.split())
    shown = words if len(words) <= SHOWN_CHARACTERS else f"{words[:SHOWN_CHARACTERS]}..."
    return f"{number} {shown}"
