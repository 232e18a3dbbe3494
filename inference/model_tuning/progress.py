"""
Hold how far a training is, for everybody who asks: the operator, Prometheus, a person.

One thread trains and writes, others read; each reading is a whole picture of one moment. Imports
the standard library only.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Literal

Phase = Literal["loading", "preparing", "training", "saving", "pushing", "succeeded", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """
    Hold one moment of a training.

    Attributes:
        phase: What is being done.
        step: Optimizer steps done, those before an interruption included.
        steps: Optimizer steps in all; 0 until it is known.
        epoch: Passes over the data, with fractions.
        first_loss: Training loss of the first report of this process; none before it.
        loss: Of the last one.
        tokens: Tokens trained on by this process.
        tokens_per_second: Since this process began to train.
        seconds_left: By the pace of this process; none where there is no pace yet.
        resumed_from_step: Where an earlier process left off; 0 for a fresh start.
        error: The sentence of a failure.
    """

    phase: Phase = "loading"
    step: int = 0
    steps: int = 0
    epoch: float = 0.0
    first_loss: float | None = None
    loss: float | None = None
    tokens: int = 0
    tokens_per_second: float = 0.0
    seconds_left: float | None = None
    resumed_from_step: int = 0
    error: str | None = None


class Progress:
    """Keep the latest picture."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin at `loading`."""
        self._clock = clock
        self._picture = Picture()
        self._began_at = clock()
        self._lock = Lock()

    def look(self) -> Picture:
        """Return the latest picture."""
        with self._lock:
            return self._picture

    def enter(self, phase: Phase, **changes: Any) -> None:  # noqa: ANN401 - fields of a picture
        """Begin a phase."""
        with self._lock:
            self._picture = replace(self._picture, phase=phase, **changes)

    def begin_training(self, steps: int, resumed_from_step: int) -> None:
        """Start the clock of the pace."""
        self._began_at = self._clock()
        self.enter(
            "training", step=resumed_from_step, steps=steps, resumed_from_step=resumed_from_step
        )

    def advance(self, step: int, epoch: float, tokens: int) -> None:
        """Count a finished optimizer step."""
        with self._lock:
            now = self._picture
            seconds = max(self._clock() - self._began_at, 1e-9)
            done = step - now.resumed_from_step
            left = (now.steps - step) * seconds / done if done > 0 else None
            self._picture = replace(
                now,
                step=step,
                epoch=epoch,
                tokens=tokens,
                tokens_per_second=tokens / seconds,
                seconds_left=left,
            )

    def report_loss(self, loss: float) -> None:
        """Keep the trainer's own figure."""
        with self._lock:
            first = self._picture.first_loss
            self._picture = replace(
                self._picture, loss=loss, first_loss=loss if first is None else first
            )


def sentence(picture: Picture) -> str:
    """Say a picture in one line, for a log."""
    parts: list[str] = [picture.phase]
    if picture.steps:
        parts.append(f"step {picture.step} of {picture.steps}")
    if picture.loss is not None:
        parts.append(f"loss {picture.loss:.4f}")
    if picture.tokens_per_second:
        parts.append(f"{picture.tokens_per_second:.0f} tokens/s")
    if picture.seconds_left is not None and picture.phase == "training":
        parts.append(f"{picture.seconds_left:.0f} s left")
    return ", ".join(parts)
