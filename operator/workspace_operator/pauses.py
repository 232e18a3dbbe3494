"""
Say how long to stay away from what has failed: longer each time, and never all at once.

Must not import anything of this package.
"""

import random

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 60.0
BREAKER_FAILURES = 10
BREAKER_PAUSE_SECONDS = 30.0
JITTER = 0.2


def pause_seconds(failures: int, *, at_least: float = 0.0) -> float:
    """Return how long to wait after this many failures in a row, before jitter."""
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 16))
    if failures >= BREAKER_FAILURES:
        pause = max(pause, BREAKER_PAUSE_SECONDS)
    return max(pause, at_least)


def spread(seconds: float) -> float:
    """Add up to `JITTER` so that many keys do not come back as one wave; never come sooner."""
    return seconds * (1 + random.uniform(0, JITTER))  # noqa: S311 - jitter is no secret
