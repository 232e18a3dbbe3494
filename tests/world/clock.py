"""
Tell the time of the played world, which may go faster than ours.

An operator by another clock (`other_clock.py`) compares its time with what a cloud and a kubelet
have written, so both must live in the same time. What the API server writes itself (creation,
deletion) is in ours.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(slots=True)
class Clock:
    """
    Be a clock that has gone `scale` times as fast since `epoch`, and is `skew` seconds ahead.

    Attributes:
        scale: How much faster.
        epoch: Since when, in seconds since 1970.
        skew: Seconds ahead of ours.
    """

    scale: float = 1.0
    epoch: float = 0.0
    skew: float = 0.0

    def __call__(self) -> datetime:
        """Return the present."""
        seconds = self.epoch + self.skew + (time.time() - self.epoch) * self.scale
        return datetime.fromtimestamp(seconds, UTC)

    def accelerate(self, scale: float) -> None:
        """Go `scale` times as fast from now on."""
        self.scale, self.epoch, self.skew = scale, time.time(), 0.0

    @property
    def is_ours(self) -> bool:
        """Tell a clock that goes as ours does."""
        return (self.scale, self.skew) == (1.0, 0.0)


# There is one world in a process, and one time in it.
WORLD = Clock()
