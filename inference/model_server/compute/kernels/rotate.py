"""
Turn queries and keys by their positions and store keys and values, `twins.rotate_and_store`.

One program per token and head. The halves of a head turn against each other:

    low'  = low * cos - high * sin        rounded after each product, as transformers does
    high' = high * cos + low * sin

Heads of values take the same way, and their turn is dropped.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _rotate(
    heads: tl.tensor,  # (T, total, 2 * half)
    cosines: tl.tensor,  # (T, 2 * half)
    sines: tl.tensor,  # (T, 2 * half)
    slots: tl.tensor,  # (T,)
    query: tl.tensor,  # (T, heads_query, 2 * half), written
    keys: tl.tensor,  # (cells, heads_kv, 2 * half), written
    values: tl.tensor,  # (cells, heads_kv, 2 * half), written
    slot_stride: tl.tensor,
    heads_query: tl.constexpr,
    heads_kv: tl.constexpr,
    half: tl.constexpr,
    padded: tl.constexpr,
) -> None:
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    column = tl.arange(0, padded)
    there = column < half
    which = head + column * 0  # as a block: masks are of one shape
    turns = there & (which < heads_query + heads_kv)
    begin = heads + (token * (heads_query + 2 * heads_kv) + head) * 2 * half + column
    low, high = tl.load(begin, mask=there, other=0.0), tl.load(begin + half, mask=there, other=0.0)
    kind = low.dtype
    angle = token * 2 * half + column
    low_cosine = tl.load(cosines + angle, mask=turns, other=0.0).to(tl.float32)
    high_cosine = tl.load(cosines + angle + half, mask=turns, other=0.0).to(tl.float32)
    low_sine = tl.load(sines + angle, mask=turns, other=0.0).to(tl.float32)
    high_sine = tl.load(sines + angle + half, mask=turns, other=0.0).to(tl.float32)
    wide_low, wide_high = low.to(tl.float32), high.to(tl.float32)
    first = (wide_low * low_cosine).to(kind).to(tl.float32)
    first = (first - (wide_high * low_sine).to(kind).to(tl.float32)).to(kind)
    second = (wide_high * high_cosine).to(kind).to(tl.float32)
    second = (second + (wide_low * high_sine).to(kind).to(tl.float32)).to(kind)

    to_query = query + (token * heads_query + head) * 2 * half + column
    is_query = there & (which < heads_query)
    tl.store(to_query, first, mask=is_query)
    tl.store(to_query + half, second, mask=is_query)

    # Values are not turned, and an infinite half must not reach the other one through 0 * inf.
    first, second = tl.where(turns, first, low), tl.where(turns, second, high)
    is_key = turns & (which >= heads_query)
    is_value = there & (which >= heads_query + heads_kv)
    first = tl.where(tl.abs(first.to(tl.float32)) < float("inf"), first, 0.0)
    second = tl.where(tl.abs(second.to(tl.float32)) < float("inf"), second, 0.0)
    slot = tl.load(slots + token * slot_stride)
    to_key = keys + (slot * heads_kv + head - heads_query) * 2 * half + column
    tl.store(to_key, first, mask=is_key)
    tl.store(to_key + half, second, mask=is_key)
    to_value = values + (slot * heads_kv + head - heads_query - heads_kv) * 2 * half + column
    tl.store(to_value, first, mask=is_value)
    tl.store(to_value + half, second, mask=is_value)


def rotate_and_store(
    heads: Tensor, cosines: Tensor, sines: Tensor, slots: Tensor, keys: Tensor, values: Tensor
) -> Tensor:
    """Turn and store: (T, H + 2 H_kv, D), the angles, the cells, the cache -> (T, H, D)."""
    count, total, size = heads.shape
    heads_kv = keys.shape[2]
    heads_query = total - 2 * heads_kv
    query = torch.empty((count, heads_query, size), dtype=heads.dtype, device=heads.device)
    _rotate[(count, total)](
        heads.contiguous(),
        cosines.contiguous(),
        sines.contiguous(),
        slots,
        query,
        keys,
        values,
        slots.stride(0),
        heads_query=heads_query,
        heads_kv=heads_kv,
        half=size // 2,
        padded=triton.next_power_of_2(size // 2),
        num_warps=1,
        enable_fp_fusion=False,
    )
    return query
