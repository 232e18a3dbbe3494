"""
Attend with neighbouring tokens of one sequence over its table of blocks, `twins.attend_chunk`.

One program per tile of tokens and head of the query. It walks over the positions that any of its
tokens may read and keeps nothing but running sums, so memory does not grow with the length, where
SDPA with an explicit mask holds every score at once: 1.3 GB for 1,024 tokens behind 4,096.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

TOKENS, TILE = 64, 64
LEAST_COLUMNS = 16  # the least inner size of a matrix product in Triton
VARYING = ["count", "first_position", "position"]  # of each chunk: no kernel of their own


@triton.jit(do_not_specialize=VARYING)
def _attend(
    query: tl.tensor,  # (count, heads_kv * sharing, size)
    keys: tl.tensor,  # (cells, heads_kv, size)
    values: tl.tensor,  # (cells, heads_kv, size)
    table: tl.tensor,  # (N,) blocks
    attended: tl.tensor,  # (count, heads_kv * sharing, size), written
    count: tl.tensor,
    first_position: tl.tensor,
    position: tl.tensor,
    scaling: tl.tensor,
    heads_kv: tl.constexpr,
    sharing: tl.constexpr,
    size: tl.constexpr,
    block_size: tl.constexpr,
    window: tl.constexpr,  # 0 for none
    tokens: tl.constexpr,
    columns: tl.constexpr,
    tile: tl.constexpr,
) -> None:
    number = tl.program_id(0) * tokens + tl.arange(0, tokens)  # of each token in the chunk
    head = tl.program_id(1)
    column = tl.arange(0, columns)
    own = (number < count)[:, None] & (column < size)[None, :]
    row = (number.to(tl.int64) * heads_kv * sharing + head)[:, None] * size + column[None, :]
    asked = tl.load(query + row, mask=own, other=0.0)

    at = position + number
    begin = first_position
    if window > 0:
        begin = tl.maximum(begin, position + tl.program_id(0) * tokens - window + 1)
    end = position + tl.minimum(count, (tl.program_id(0) + 1) * tokens)
    most = tl.full((tokens,), float("-inf"), tl.float32)
    total = tl.zeros((tokens,), tl.float32)
    joined = tl.zeros((tokens, columns), tl.float32)
    for tile_start in range(begin, end, tile):
        read = tile_start + tl.arange(0, tile)
        there = read < end
        offset = read - first_position
        block = tl.load(table + offset // block_size, mask=there, other=0)
        cell = (block * block_size + offset % block_size) * heads_kv + head // sharing
        inside = there[:, None] & (column < size)[None, :]
        place = cell[:, None] * size + column[None, :]
        key = tl.load(keys + place, mask=inside, other=0.0)
        scores = tl.dot(asked, tl.trans(key), input_precision="ieee") * scaling
        allowed = there[None, :] & (read[None, :] <= at[:, None])
        if window > 0:
            allowed = allowed & (read[None, :] > at[:, None] - window)
        scores = tl.where(allowed, scores, float("-inf"))
        higher = tl.maximum(most, tl.max(scores, axis=1))
        # A token may read nothing of this tile, and have read nothing before.
        base = tl.where(higher == float("-inf"), 0.0, higher)
        weights = tl.exp(scores - base[:, None])
        kept = tl.exp(most - base)
        value = tl.load(values + place, mask=inside, other=0.0)
        joined = joined * kept[:, None]
        joined += tl.dot(weights.to(value.dtype), value, input_precision="ieee")
        total = total * kept + tl.sum(weights, axis=1)
        most = higher
    result = (joined / total[:, None]).to(attended.dtype.element_ty)
    tl.store(attended + row, result, mask=own)


def attend_chunk(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    table: Tensor,
    *,
    first_position: int,
    position: int,
    window: int | None,
    scaling: float,
) -> Tensor:
    """Attend as the twin does: (T, H, D) -> (T, H, D)."""
    query = query.contiguous()
    count, heads, size = query.shape
    block_size, heads_kv = keys.shape[1:3]
    attended = torch.empty_like(query)
    _attend[(triton.cdiv(count, TOKENS), heads)](
        query,
        keys,
        values,
        table,
        attended,
        count,
        first_position,
        position,
        scaling,
        heads_kv=heads_kv,
        sharing=heads // heads_kv,
        size=size,
        block_size=block_size,
        window=window or 0,
        tokens=TOKENS,
        columns=max(LEAST_COLUMNS, triton.next_power_of_2(size)),
        tile=TILE,
        enable_fp_fusion=True,
    )
    return attended
