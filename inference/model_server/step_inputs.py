"""
Turn the plain integers of a batch into the tensors that a forward reads.

The tokens of all sequences form one row, those that decode first. Example, block size 4: a sequence
that decodes its position 9 with first_block 1 and block_ids (7, 3) writes to slot 3 * 4 + 1 = 13,
and its table begins at position 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model_server.attention import DecodeRows, LayerCache, PromptChunk, StepContext, visible
from model_server.batch import BatchItem


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Say what the cells of a cache are, the same for all steps of a runner."""

    layers: Sequence[LayerCache]
    block_size: int
    window: int | None
    masked: bool  # whether attention needs masks; kernels read positions instead


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInputs:
    """Hold what a forward is called with."""

    tokens: Tensor  # (T,)
    positions: Tensor  # (T,)
    context: StepContext
    keep: Tensor  # (K,) the tokens whose logits are wanted, where the logits come to lie


def step_inputs(
    items: Sequence[BatchItem], cells: Cells, device: torch.device, output_device: torch.device
) -> StepInputs:
    """Lay out a step; items that decode come first."""
    positions = _tensor([p for item in items for p in range(item.start, item.end)], device)
    ends = torch.tensor([len(item.token_ids) for item in items]).cumsum(0) - 1
    last = [end for item, end in zip(items, ends.tolist(), strict=True) if item.samples]
    decoding = [item for item in items if len(item.token_ids) == 1]
    return StepInputs(
        tokens=_tensor([token for item in items for token in item.token_ids], device),
        positions=positions,
        keep=_tensor(last, output_device),
        context=StepContext(
            layers=cells.layers,
            window=cells.window,
            slots=_tensor(slots(items, cells.block_size), device),
            decode=_decode_rows(decoding, positions[: len(decoding)], cells),
            chunks=_chunks(items[len(decoding) :], positions, len(decoding), cells),
        ),
    )


def slots(items: Sequence[BatchItem], block_size: int) -> list[int]:
    """Find the cell of each token of the row."""
    return [
        item.block_ids[position // block_size - item.first_block] * block_size
        + position % block_size
        for item in items
        for position in range(item.start, item.end)
    ]


def padded_tables(items: Sequence[BatchItem]) -> list[tuple[int, ...]]:
    """Make the tables equally long, with a block that nobody reads behind the last."""
    longest = max(len(item.block_ids) for item in items)
    return [(*item.block_ids, *(0,) * (longest - len(item.block_ids))) for item in items]


def _decode_rows(items: Sequence[BatchItem], positions: Tensor, cells: Cells) -> DecodeRows | None:
    if not items:
        return None
    first = _tensor([item.first_block * cells.block_size for item in items], positions.device)
    blocks = torch.tensor(padded_tables(items), device=positions.device)
    mask = None
    if cells.masked:
        length = blocks.shape[1] * cells.block_size
        mask = visible(first, positions, length, cells.window)[:, None, None]
    return DecodeRows(blocks=blocks, first_positions=first, positions=positions, mask=mask)


def _chunks(
    items: Sequence[BatchItem], positions: Tensor, begin: int, cells: Cells
) -> tuple[PromptChunk, ...]:
    chunks = []
    for item in items:
        end = begin + len(item.token_ids)
        first = item.first_block * cells.block_size
        mask = None
        if cells.masked:
            starts = positions.new_full((end - begin,), first)
            length = cells.block_size * len(item.block_ids)
            mask = visible(starts, positions[begin:end], length, cells.window)
        blocks = _tensor(item.block_ids, positions.device)[None]
        chunks.append(
            PromptChunk(
                begin=begin,
                end=end,
                blocks=blocks,
                first_position=first,
                position=item.start,
                mask=mask,
            )
        )
        begin = end
    return tuple(chunks)


def _tensor(values: Sequence[int], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.long, device=device)
