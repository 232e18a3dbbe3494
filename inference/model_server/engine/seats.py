"""
Give each sequence that decodes a row of near memory, and say what the row lacks.

A row holds a copy of what its sequence reads of the cache's blocks (layer_cache.py). Position p
lies in cell p, or, where the rows are as long as the sliding window, in cell p modulo the window:
what the window has passed is written over. A sequence that goes on in its row lacks the newest
position only; one that has just come lacks all that it reads.

    rows 0 1 2 3 hold a b c d; b ends and e comes:   a e c d   e is copied
    b ends:                                         a d c     d moves, so the rows in use stay dense

A row is known by its sequence's history, an object that no other sequence ever has, and only from
the end of a step that went well: a step that failed half-way has left its rows in some layers only.
Sequences with an adapter get none: their tokens lie beside others of that adapter (lora.py).

Must not import torch, asyncio, threading, time or anything of HTTP.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model_server.engine.batch import BatchItem
from model_server.engine.kv import first_needed

if TYPE_CHECKING:
    from model_server.engine.history import History

# Rows are read as long as the longest of them. Who makes the others read more than so many times of
# what they need is left to be gathered from its blocks.
MOST_PADDING = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Seated:
    """Say who sits in the rows from 0 on, and from which position on each row is to be filled."""

    items: tuple[BatchItem, ...] = ()
    begins: tuple[int, ...] = ()


NOBODY = Seated()


class Seats:
    """Remember who sat where after the latest step."""

    def __init__(self, *, rows: int, cells: int, window: int | None) -> None:
        """Start with empty rows of so many cells; a window makes no row longer than itself."""
        self._cells = cells
        self._rows = rows
        self._window = window
        self._held: tuple[tuple[History, int], ...] = ()  # whose, and up to which position

    def seat(self, items: Sequence[BatchItem]) -> Seated:
        """Give rows to those that decode; until `keep` nobody sits anywhere."""
        held, self._held = self._held, ()
        coming = _alike([item for item in items if self._fits(item)], self._cells)
        count = min(len(coming), self._rows)
        row_of = {id(history): row for row, (history, _) in enumerate(held[:count])}
        seats: dict[int, BatchItem] = {}
        others = []
        for item in coming:
            row = row_of.get(id(item.history))
            if row is None:
                others.append(item)
            else:
                seats[row] = item
        free = (row for row in range(count) if row not in seats)
        seats |= dict(zip(free, others, strict=False))
        seated = tuple(seats[row] for row in range(count))
        begins = (
            self._begin(item.start, held[row][1] if id(item.history) in row_of else 0)
            for row, item in enumerate(seated)
        )
        return Seated(items=seated, begins=tuple(begins))

    def keep(self, seated: Seated) -> None:
        """Remember the rows of a step that went well."""
        self._held = tuple((item.history, item.end) for item in seated.items)

    def _fits(self, item: BatchItem) -> bool:
        if len(item.token_ids) > 1 or item.adapter:
            return False
        return item.start < self._cells or self._cells == self._window

    def _begin(self, start: int, end: int) -> int:
        """Find the first position that a row lacks: it holds those before `end`, `start` is due."""
        if end >= start:
            return start
        return max(end, first_needed(start, self._window))


def _alike(items: list[BatchItem], cells: int) -> list[BatchItem]:
    """Leave out the longest while they make the others too long."""
    lengths = [min(item.start + 1, cells) for item in items]
    total = sum(lengths)
    if not items or max(lengths) * len(items) <= MOST_PADDING * total:
        return items
    by_length = sorted(lengths, reverse=True)
    longest = 0
    for index, length in enumerate(by_length):
        if length * (len(by_length) - index) <= MOST_PADDING * total:
            longest = length
            break
        total -= length
    return [item for item, length in zip(items, lengths, strict=True) if length <= longest]
