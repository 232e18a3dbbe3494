"""
Attend with one token per sequence over a table of blocks, `twins.attend_tokens`.

The heads that share keys are the rows of one small matrix, so keys and values are read once. What a
token reads is split among programs, or one sequence would keep eight of a card's 132 processors
busy; a second kernel joins the parts by their sums:

    position 999, window 600, 4 splits, tiles of 64:   400..591 | 592..783 | 784..975 | 976..999

Lengths are read from memory and never from the host, so that a CUDA graph may hold the launch.
Splitting changes the order of additions, so in BF16 an answer can depend on the size of its batch.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 64
LEAST_ROWS = 16  # of a matrix product in Triton, and its least inner size
MOST_SPLITS = 32


@triton.jit
def _attend(
    query: tl.tensor,  # (B, heads_kv * sharing, size)
    keys: tl.tensor,  # (cells, heads_kv, size)
    values: tl.tensor,  # (cells, heads_kv, size)
    tables: tl.tensor,  # (B, N) blocks
    first_positions: tl.tensor,  # (B,)
    positions: tl.tensor,  # (B,)
    parts: tl.tensor,  # (B, heads_kv * sharing, splits, size) float32, written
    sums: tl.tensor,  # (B, heads_kv * sharing, splits) float32, written: log of the sum of exp
    table_stride: tl.tensor,
    first_stride: tl.tensor,
    position_stride: tl.tensor,
    scaling: tl.tensor,
    heads_kv: tl.constexpr,
    sharing: tl.constexpr,
    size: tl.constexpr,
    block_size: tl.constexpr,
    window: tl.constexpr,  # 0 for none
    splits: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
    tile: tl.constexpr,
) -> None:
    sequence = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    split = tl.program_id(2)
    first = tl.load(first_positions + sequence * first_stride)
    position = tl.load(positions + sequence * position_stride)
    begin = first
    if window > 0:
        begin = tl.maximum(first, position - window + 1)
    share = tl.cdiv(tl.cdiv(position + 1 - begin, splits), tile) * tile
    start = begin + split * share
    end = tl.minimum(start + share, position + 1)

    row = tl.arange(0, rows)
    column = tl.arange(0, columns)
    own = (row < sharing)[:, None] & (column < size)[None, :]
    heads = sequence * heads_kv * sharing + head * sharing + row  # of the query
    asked = tl.load(query + heads[:, None] * size + column[None, :], mask=own, other=0.0)

    most = tl.full((rows,), float("-inf"), tl.float32)
    total = tl.zeros((rows,), tl.float32)
    joined = tl.zeros((rows, columns), tl.float32)
    for tile_start in range(start, end, tile):
        offset = tile_start + tl.arange(0, tile) - first
        there = offset < end - first
        block = tl.load(
            tables + sequence * table_stride + offset // block_size, mask=there, other=0
        )
        cell = (block * block_size + offset % block_size) * heads_kv + head
        inside = there[:, None] & (column < size)[None, :]
        at = cell[:, None] * size + column[None, :]
        key = tl.load(keys + at, mask=inside, other=0.0)
        scores = tl.dot(asked, tl.trans(key), input_precision="ieee") * scaling
        scores = tl.where(there[None, :], scores, float("-inf"))
        higher = tl.maximum(most, tl.max(scores, axis=1))
        weights = tl.exp(scores - higher[:, None])
        kept = tl.exp(most - higher)
        value = tl.load(values + at, mask=inside, other=0.0)
        joined = joined * kept[:, None]
        joined += tl.dot(weights.to(value.dtype), value, input_precision="ieee")
        total = total * kept + tl.sum(weights, axis=1)
        most = higher

    is_empty = start >= end
    divisor = tl.where(is_empty, 1.0, total)
    logarithm = tl.where(is_empty, float("-inf"), most + tl.log(divisor))
    to = heads * splits + split
    tl.store(parts + to[:, None] * size + column[None, :], joined / divisor[:, None], mask=own)
    tl.store(sums + to, logarithm, mask=row < sharing)


@triton.jit
def _join(
    parts: tl.tensor,  # (B * H, splits, size) float32
    sums: tl.tensor,  # (B * H, splits) float32
    attended: tl.tensor,  # (B * H, size), written
    size: tl.constexpr,
    splits: tl.constexpr,
    columns: tl.constexpr,
) -> None:
    head = tl.program_id(0).to(tl.int64)
    split = tl.arange(0, splits)
    column = tl.arange(0, columns)
    there = column < size
    logarithms = tl.load(sums + head * splits + split)
    weights = tl.exp(logarithms - tl.max(logarithms, axis=0))
    at = (head * splits + split)[:, None] * size + column[None, :]
    part = tl.load(parts + at, mask=there[None, :], other=0.0)
    joined = tl.sum(part * weights[:, None], axis=0) / tl.sum(weights, axis=0)
    tl.store(attended + head * size + column, joined.to(attended.dtype.element_ty), mask=there)


def attend_tokens(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    tables: Tensor,
    first_positions: Tensor,
    positions: Tensor,
    *,
    window: int | None,
    scaling: float,
    splits: int,
) -> Tensor:
    """Attend as the twin does, in a power of two of splits: (B, H, D) -> (B, H, D)."""
    count, heads, size = query.shape
    block_size, heads_kv = keys.shape[1:3]
    sharing = heads // heads_kv
    columns = max(LEAST_ROWS, triton.next_power_of_2(size))
    parts = torch.empty((count, heads, splits, size), dtype=torch.float32, device=query.device)
    sums = torch.empty((count, heads, splits), dtype=torch.float32, device=query.device)
    _attend[(count, heads_kv, splits)](
        query.contiguous(),
        keys,
        values,
        tables,
        first_positions,
        positions,
        parts,
        sums,
        tables.stride(0),
        first_positions.stride(0),
        positions.stride(0),
        scaling,
        heads_kv=heads_kv,
        sharing=sharing,
        size=size,
        block_size=block_size,
        window=window or 0,
        splits=splits,
        rows=max(LEAST_ROWS, triton.next_power_of_2(sharing)),
        columns=columns,
        tile=TILE,
        enable_fp_fusion=True,
    )
    attended = torch.empty_like(query, memory_format=torch.contiguous_format)
    _join[(count * heads,)](
        parts, sums, attended, size=size, splits=splits, columns=columns, enable_fp_fusion=True
    )
    return attended
