"""
A runner without a model: the next token is the last one plus one.

It keeps a cache all the same: where a real one keeps keys and values, which depend on all tokens up
to theirs, it keeps a hash of those and of the adapter. Every step checks the whole window of every
sequence: a scheduler that gives a block to two sequences, forgets a position, reuses a block too
early or takes a cached prefix for another is found out at once.
"""

import threading
from typing import TYPE_CHECKING

from model_server.engine.batch import Batch, BatchItem, Drawn, Failed
from model_server.engine.request import TokenLogprobs

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeRunner:
    """
    Follow the Runner protocol; see the module.

    `on_step` is called at the start of each step, in the engine's thread: to raise, wait or look.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int = 1000,
        max_model_len: int = 64,
        block_size: int = 4,
        block_count: int = 64,
        sliding_window: int | None = None,
        eos_token_ids: frozenset[int] = frozenset(),
    ) -> None:
        self.vocabulary_size = vocabulary_size
        self.max_model_len = max_model_len
        self.block_size = block_size
        self.block_count = block_count
        self.sliding_window = sliding_window
        self.adapters: frozenset[str] = frozenset()
        self.eos_token_ids = eos_token_ids
        self.on_step: Callable[[Batch], None] = _do_nothing
        self.batches: list[Batch] = []
        self._cells: dict[tuple[int, int], int] = {}

    def step(self, batch: Batch) -> list[Drawn | Failed]:
        self.on_step(batch)
        self.batches.append(batch)
        for item in batch.items:
            self._write(item)
        for item in batch.items:
            self._check(item)
        return [self._draw(item) for item in batch.sampled]

    def _draw(self, item: BatchItem) -> Drawn:
        """Count on; the next token has -0.5, the one after it -1.5, and so on."""
        token = (item.token_ids[-1] + 1) % self.vocabulary_size
        count = item.sampling.logprobs
        if count is None:
            return Drawn(token_id=token)
        top = tuple((token + i, -0.5 - i) for i in range(count))
        return Drawn(token_id=token, logprobs=TokenLogprobs(logprob=-0.5, top=top))

    def _cell(self, item: BatchItem, position: int) -> tuple[int, int]:
        block = item.block_ids[position // self.block_size - item.first_block]
        return block, position % self.block_size

    def _write(self, item: BatchItem) -> None:
        for position in range(item.start, item.end):
            self._cells[self._cell(item, position)] = _content(item, position)

    def _check(self, item: BatchItem) -> None:
        assert item.token_ids == tuple(item.history.tokens[item.start : item.end])
        window = self.sliding_window or item.end
        for position in range(max(0, item.start - window + 1), item.end):
            held = self._cells[self._cell(item, position)]
            assert held == _content(item, position), f"{item.request_id} lost {position}"


def _content(item: BatchItem, position: int) -> int:
    return hash((item.adapter, *item.history.tokens[: position + 1]))


def _do_nothing(_batch: Batch) -> None:
    pass


class Gate:
    """Hold the engine's thread at the start of a step until the test lets it go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def __call__(self, _batch: Batch) -> None:
        self.reached.set()
        assert self._open.wait(10), "the test never opened the gate"

    def open(self) -> None:
        self._open.set()
