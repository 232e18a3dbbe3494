"""Tell the person who waits what happens, on stderr; stdout is for results."""

import sys


def say(line: str) -> None:
    """Print one line now."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
