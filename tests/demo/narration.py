"""
Say what a long job does, how far it is, and what each step took.

A person who runs `make demo` waits for minutes: every step is announced before it starts, with its
number out of how many, and the times stand together at the end.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(kw_only=True)
class Narration:
    """
    Announce steps and keep their times.

    Attributes:
        total: How many steps there will be.
        out: Where the lines go.
        clock: Seconds that only ever grow.
    """

    total: int
    out: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    times: list[tuple[str, float]] = field(default_factory=list)

    def say(self, line: str) -> None:
        """Print one line inside the current step."""
        print(f"        {line}", file=self.out, flush=True)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announce a step, and its time when it ends (also when it fails)."""
        number = len(self.times) + 1
        print(f"\n[{number:>2}/{self.total}] {title}", file=self.out, flush=True)
        start = self.clock()
        outcome = "failed after"
        try:
            yield
            outcome = "done in"
        finally:
            seconds = self.clock() - start
            self.times.append((title, seconds))
            self.say(f"{outcome} {seconds:.1f} s")

    def summary(self) -> str:
        """Return the table of the steps and their seconds."""
        width = max((len(title) for title, _ in self.times), default=0)
        rows = [f"{title:<{width}}  {seconds:8.1f} s" for title, seconds in self.times]
        total = sum(seconds for _, seconds in self.times)
        return "\n".join([*rows, f"{'total':<{width}}  {total:8.1f} s"])
