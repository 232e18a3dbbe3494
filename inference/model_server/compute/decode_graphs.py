"""
Replay steps that only decode as CUDA graphs.

A step of one token is some 330 launches: told one by one they take the host longer than the card
needs for them. A graph is told once and replayed with one call. It reads and writes fixed memory
and has a fixed number of rows, so there is one for each of a few sizes, and a step takes the next
larger: rows that are left over decode token 0 at position 0 into a block that nobody owns.

All that a step tells a graph is one table of whole numbers, written in one copy:

    row of the table   | token | position | slot | first position | blocks ... |

What stays in the tail of a row from an earlier step is not read: attention ends at the position.
The step function is the same with and without a graph, and both are compared at capture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model_server.compute.attention import DecodeRows, StepContext
from model_server.compute.forward import Forward, Graph
from model_server.compute.step_inputs import Cells, slots
from model_server.engine.batch import BatchItem

TOKEN, POSITION, SLOT, FIRST, BLOCKS = range(5)  # columns of the table
FINE, COARSE = 8, 16  # steps between sizes, up to and above 64 rows
FINE_UNTIL = 64
# Between a graph's logits and those without it, in parts of the largest: the products are the same
# calls, but the library may choose another algorithm while capturing.
BOUND = 2e-2


class GraphDiffers(Exception):
    """Report a graph whose result is not that of the function it recorded."""


@dataclass(frozen=True, slots=True)
class _Captured:
    graph: Graph
    logits: Tensor  # (size, V), rewritten by each replay


class DecodeGraphs:
    """Hold a graph for each number of rows."""

    def __init__(
        self,
        forward: Forward,
        cells: Cells,
        *,
        most_rows: int,
        most_blocks: int,
        spare_block: int,
        device: torch.device,
    ) -> None:
        """
        Allocate the table; `capture` makes the graphs.

        Args:
            forward: Computes a step, and reads no mask.
            cells: The cache.
            most_rows: Sequences that may decode together.
            most_blocks: Blocks that one of them may hold.
            spare_block: A block of the cache that belongs to nobody.
            device: Where the model is.
        """
        self._forward = forward
        self._cells = cells
        self._spare_block = spare_block
        self._sizes = sizes(most_rows)
        self._table = torch.zeros(
            (self._sizes[-1], BLOCKS + most_blocks), dtype=torch.long, device=device
        )
        self._table[:, TOKEN] = 1  # a text's beginning: that of token 0 may be padding, all zeros
        self._table[:, SLOT] = spare_block * cells.block_size
        self._table[:, BLOCKS] = spare_block
        self._captured: dict[int, _Captured] = {}

    def capture(self, make_graph: Callable[[], Graph]) -> None:
        """
        Record every size, the largest first: the smaller ones fit into its memory.

        Raises:
            GraphDiffers: If a replay is not what the function computes.
        """
        for size in reversed(self._sizes):
            graph = make_graph()
            logits = graph.capture(lambda size=size: self.compute(size))  # type: ignore[misc]
            graph.replay()
            expected = self.compute(size)
            largest = expected.abs().max().clamp(min=1e-6)
            error = float((logits - expected).abs().max() / largest)
            if not error <= BOUND:
                raise GraphDiffers(f"the graph of {size} rows is {error:.1e} from its function")
            self._captured[size] = _Captured(graph, logits)

    def fits(self, items: Sequence[BatchItem]) -> bool:
        """Tell whether these are steps of one token, and few enough."""
        return len(items) <= self._sizes[-1] and all(len(item.token_ids) == 1 for item in items)

    def run(self, items: Sequence[BatchItem]) -> Tensor:
        """Compute the logits of each item: (items, V), good until the next call."""
        size = next(size for size in self._sizes if size >= len(items))
        rows = table_rows(items, size, self._cells.block_size, self._spare_block)
        told = torch.tensor(rows)
        if self._table.device.type == "cuda":
            told = told.pin_memory()
        self._table[:size, : told.shape[1]].copy_(told, non_blocking=True)
        captured = self._captured[size]
        captured.graph.replay()
        return captured.logits[: len(items)]

    def compute(self, size: int) -> Tensor:
        """Compute the first rows of the table, without a graph: the twin of a replay."""
        rows = self._table[:size]
        context = StepContext(
            layers=self._cells.layers,
            window=self._cells.window,
            slots=rows[:, SLOT],
            decode=DecodeRows(
                blocks=rows[:, BLOCKS:],
                first_positions=rows[:, FIRST],
                positions=rows[:, POSITION],
            ),
            chunks=(),
        )
        return self._forward(rows[:, TOKEN], rows[:, POSITION], context, None)


def sizes(most: int) -> list[int]:
    """
    List the numbers of rows that get a graph: few, and never far above what a step needs.

    Example: 40 rows: 1, 2, 4, 8, 16, 24, 32, 40.
    """
    fine = [1, 2, 4, *range(FINE, FINE_UNTIL + 1, FINE)]
    coarse = list(range(FINE_UNTIL + COARSE, most + COARSE, COARSE))
    wanted = [size for size in (*fine, *coarse) if size < most]
    return [*wanted, most]


def table_rows(
    items: Sequence[BatchItem], size: int, block_size: int, spare_block: int
) -> list[list[int]]:
    """Write the table of a step, with rows of nobody behind those of the items."""
    longest = max(len(item.block_ids) for item in items)
    spare = [0, 0, spare_block * block_size, 0, spare_block, *(0,) * (longest - 1)]
    rows = [
        [
            item.token_ids[0],
            item.start,
            slot,
            item.first_block * block_size,
            *item.block_ids,
            *(0,) * (longest - len(item.block_ids)),
        ]
        for item, slot in zip(items, slots(items, block_size), strict=True)
    ]
    return rows + [spare] * (size - len(rows))
