"""
Turn the plain integers of a batch into the tensors that a forward reads.

The tokens of all sequences form one row, those that decode first. Example, block size 4: a sequence
that decodes its position 9 with first_block 1 and block_ids (7, 3) writes to slot 3 * 4 + 1 = 13,
and its table begins at position 4.
"""

import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from model_server.compute.attention import (
    DecodePart,
    DecodeRows,
    NearPart,
    PromptChunk,
    StepContext,
    added,
    visible,
)
from model_server.compute.layer_cache import LayerCache
from model_server.engine.batch import BatchItem
from model_server.engine.seats import NOBODY, Seated

# What a processor gathers of a layer's keys at once. A table is padded to the longest of its part
# only, so one long conversation does not make all others as long; smaller parts cost more calls.
# A GPU gathers all at once.
GATHER_BYTES = 2**21


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Say what the cells of a cache are, the same for all steps of a runner."""

    layers: Sequence[LayerCache]
    block_size: int
    window: int | None
    masked: bool  # whether attention needs masks; kernels read positions instead
    near: int = 0  # cells of a row of near memory

    @property
    def dtype(self) -> torch.dtype:
        """Type of the keys, and so of queries and scores."""
        return self.layers[0].keys.dtype

    @property
    def at_once(self) -> int:
        """Blocks of a layer's keys that plain attention gathers at once."""
        keys = self.layers[0].keys
        if keys.device.type != "cpu":
            return sys.maxsize
        return max(1, GATHER_BYTES // keys[0].nbytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInputs:
    """Hold what a forward is called with."""

    tokens: Tensor  # (T,)
    positions: Tensor  # (T,)
    context: StepContext
    keep: Tensor  # (K,) the tokens whose logits are wanted, where the logits come to lie


def step_inputs(
    items: Sequence[BatchItem],
    cells: Cells,
    device: torch.device,
    output_device: torch.device,
    seated: Seated = NOBODY,
) -> StepInputs:
    """Lay out a step; items that decode come first, and those that are seated before all others."""
    counts = [len(item.token_ids) for item in items]
    decoding = items[: counts.count(1)]
    tokens: list[int] = []
    at: list[int] = []
    for item, count in zip(items, counts, strict=True):
        tokens += item.token_ids
        at += range(item.start, item.start + count)
    positions = _tensor(at, device)
    ends = accumulate(counts)
    last = [end - 1 for item, end in zip(items, ends, strict=True) if item.samples]
    own = slots(items, cells.block_size)
    return StepInputs(
        tokens=_tensor(tokens, device),
        positions=positions,
        keep=_tensor(last, output_device),
        context=StepContext(
            layers=cells.layers,
            window=cells.window,
            slots=_tensor(own, device),
            decode=_decode_rows(decoding, positions[: len(decoding)], own, cells, seated),
            chunks=_chunks(items[len(decoding) :], positions, len(decoding), cells),
        ),
    )


def slots(items: Sequence[BatchItem], block_size: int) -> list[int]:
    """Find the cell of each token of the row."""
    found: list[int] = []
    for item in items:
        if len(item.token_ids) == 1:
            block, offset = divmod(item.start, block_size)
            found.append(item.block_ids[block - item.first_block] * block_size + offset)
        else:
            for cells in runs(item, item.start, block_size):
                found += cells
    return found


def runs(item: BatchItem, begin: int, block_size: int) -> Iterator[range]:
    """
    Find the cells of the positions from `begin` to the end of the step, block by block.

    Example: block size 4, first_block 1, block_ids (7, 3), positions 6 to 9: cells 30 to 31 of
    block 7, then 12 to 13 of block 3.
    """
    while begin < item.end:
        block, offset = divmod(begin, block_size)
        count = min(block_size - offset, item.end - begin)
        first = item.block_ids[block - item.first_block] * block_size + offset
        yield range(first, first + count)
        begin += count


def padded_tables(items: Sequence[BatchItem]) -> list[tuple[int, ...]]:
    """Make the tables equally long, with a block that nobody reads behind the last."""
    longest = max(len(item.block_ids) for item in items)
    return [(*item.block_ids, *(0,) * (longest - len(item.block_ids))) for item in items]


def _decode_rows(
    items: Sequence[BatchItem],
    positions: Tensor,
    newest: Sequence[int],
    cells: Cells,
    seated: Seated,
) -> DecodeRows | None:
    if not items:
        return None
    count = len(seated.items)
    near = _near(seated, positions[:count], newest, cells) if count else None
    far = items[count:]
    if cells.masked and not far:
        nothing = positions[:0]
        return DecodeRows(
            blocks=nothing[None], first_positions=nothing, positions=positions, near=near
        )
    first = _tensor([item.first_block * cells.block_size for item in far], positions.device)
    blocks = torch.tensor(padded_tables(far), device=positions.device)
    parts: list[DecodePart] = []
    if cells.masked:
        for begin, end in neighbours([len(item.block_ids) for item in far], cells.at_once):
            own = blocks[begin:end, : max(len(item.block_ids) for item in far[begin:end])]
            length = own.shape[1] * cells.block_size
            at = slice(count + begin, count + end)
            allowed = visible(first[begin:end], positions[at], length, cells.window)
            mask = added(allowed, cells.dtype)[:, None, None]
            parts.append(DecodePart(begin=at.start, end=at.stop, blocks=own, mask=mask))
    return DecodeRows(
        blocks=blocks, first_positions=first, positions=positions, near=near, parts=tuple(parts)
    )


def _near(seated: Seated, positions: Tensor, newest: Sequence[int], cells: Cells) -> NearPart:
    """Say which cells the rows lack, and where they go; `newest` are the cells of this step."""
    length = cells.near
    sources: list[int] = []
    targets: list[int] = []
    for row, (item, begin) in enumerate(zip(seated.items, seated.begins, strict=True)):
        if begin == item.start:
            sources.append(newest[row])
            targets.append(row * length + begin % length)
        else:
            for cell in runs(item, begin, cells.block_size):
                sources += cell
            targets += [row * length + position % length for position in range(begin, item.end)]
    ends = [item.start + 1 for item in seated.items]
    most = min(max(ends), length)
    mask = None
    if min(ends) < most:
        # A row that is not full yet: of a full one every cell is in the window.
        mask = added(torch.arange(most) <= positions[:, None], cells.dtype)[:, None, None]
    return NearPart(
        count=len(ends),
        length=most,
        sources=_tensor(sources, positions.device),
        targets=_tensor(targets, positions.device),
        mask=mask,
    )


def neighbours(lengths: Sequence[int], most: int) -> list[tuple[int, int]]:
    """
    Cut a row of tables into parts of at most so many blocks, padding included.

    A table that is longer by itself is a part by itself. Example: lengths 1, 1, 2, 3 and at most 6
    blocks: the first three take 3 * 2 blocks, so the parts are 0 to 3 and 3 to 4.
    """
    parts: list[tuple[int, int]] = []
    begin, longest = 0, 0
    for index, length in enumerate(lengths):
        longest = max(longest, length)
        if index > begin and longest * (index + 1 - begin) > most:
            parts.append((begin, index))
            begin, longest = index, length
    return [*parts, (begin, len(lengths))]


def _chunks(
    items: Sequence[BatchItem], positions: Tensor, begin: int, cells: Cells
) -> tuple[PromptChunk, ...]:
    chunks = []
    for item in items:
        end = begin + len(item.token_ids)
        first = item.first_block * cells.block_size
        mask, count = None, end - begin
        is_causal = cells.masked and item.start == 0 and count <= (cells.window or count)
        if cells.masked and not is_causal:
            starts = positions.new_full((count,), first)
            length = cells.block_size * len(item.block_ids)
            mask = added(visible(starts, positions[begin:end], length, cells.window), cells.dtype)
        blocks = _tensor(item.block_ids, positions.device)[None]
        chunks.append(
            PromptChunk(
                begin=begin,
                end=end,
                blocks=blocks,
                first_position=first,
                position=item.start,
                mask=mask,
                is_causal=is_causal,
            )
        )
        begin = end
    return tuple(chunks)


def _tensor(values: Sequence[int], device: torch.device) -> Tensor:
    if not values:
        return torch.empty(0, dtype=torch.long, device=device)
    # An array is read in one piece, a list number by number.
    return torch.frombuffer(array("q", values), dtype=torch.long).to(device)
