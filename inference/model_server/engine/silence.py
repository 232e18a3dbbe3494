"""
Tell how long an engine has been silent, in time that this process had.

A process that was stopped and goes on (a laptop that slept, a paused machine, a debugger) finds its
engine's latest sign of life long ago, and nothing is wrong. Whoever looks twice a second and finds
that many seconds have passed since was stopped as well, so those seconds do not count.

Must not import torch, asyncio, threading, time or anything of HTTP.
"""

PAUSE_SECONDS = 5.0  # between two looks: ten times as long as a busy event loop takes


class Silence:
    """Follow the age of a sign of life, from look to look."""

    def __init__(self, now: float) -> None:
        """Begin to look; `now` is of a monotonic clock, seconds."""
        self._looked_at = now
        self._paused_seconds = 0.0  # since the latest sign of life

    def look(self, age_seconds: float, now: float) -> float:
        """Return the silence in seconds, where the latest sign of life is so old."""
        elapsed = now - self._looked_at
        self._looked_at = now
        if elapsed > PAUSE_SECONDS:
            self._paused_seconds += elapsed
        elif age_seconds < elapsed:  # a sign came since the last look
            self._paused_seconds = 0.0
        return max(0.0, age_seconds - self._paused_seconds)
