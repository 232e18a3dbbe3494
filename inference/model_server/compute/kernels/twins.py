"""
Say in plain torch what each kernel computes.

These are the operations of transformers' Mistral, in the same order and with the same roundings.
The engine computes with them wherever it does not run kernels, and with attention.py instead of the
two attentions here, which are written to be read: one sequence at a time, without a mask.

Must not import Triton.
"""

import torch
from torch import Tensor
from torch.nn import functional


def rms_norm(hidden: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Normalise in float32, scale in the type of the model: (T, C), (C,) -> (T, C)."""
    wide = hidden.float()
    normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return weight * normed.to(hidden.dtype)


def add_rms_norm(
    residual: Tensor, hidden: Tensor, weight: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Add to the residual stream and normalise: (T, C) twice -> (the new residual, normed)."""
    summed = residual + hidden
    return summed, rms_norm(summed, weight, eps)


def silu_mul(gate_up: Tensor) -> Tensor:
    """Gate: (T, 2 F) -> silu(first half) * second half, (T, F)."""
    gate, up = gate_up.chunk(2, dim=-1)
    return functional.silu(gate) * up


def rotate_and_store(
    heads: Tensor, cosines: Tensor, sines: Tensor, slots: Tensor, keys: Tensor, values: Tensor
) -> Tensor:
    """
    Turn queries and keys by their positions, store keys and values, answer the queries.

    What is no number is stored as 0: a NaN in a cell that a mask hides is still multiplied by its
    weight of 0, and that is NaN, so a sequence that went wrong would spoil its blocks' next owner.

    Args:
        heads: (T, H + 2 H_kv, D): those of queries, keys and values.
        cosines: (T, D).
        sines: (T, D).
        slots: (T,) cell of each token: block * block_size + offset.
        keys: (blocks, block_size, H_kv, D), changed.
        values: (blocks, block_size, H_kv, D), changed.

    Returns:
        (T, H, D).
    """
    heads_kv = keys.shape[2]
    turned, straight = heads[:, :-heads_kv], heads[:, -heads_kv:]
    low, high = turned.chunk(2, dim=-1)
    turned = turned * cosines[:, None] + torch.cat((-high, low), dim=-1) * sines[:, None]
    keys.flatten(0, 1).index_copy_(0, slots, finite(turned[:, -heads_kv:]))
    values.flatten(0, 1).index_copy_(0, slots, finite(straight))
    return turned[:, :-heads_kv]


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
) -> Tensor:
    """
    Attend with one token of each sequence.

    Args:
        query: (B, H, D).
        keys: (blocks, block_size, H_kv, D).
        values: (blocks, block_size, H_kv, D).
        tables: (B, N) blocks of each sequence; what lies behind the token's is not read.
        first_positions: (B,) position of the first cell of each table.
        positions: (B,) position of each token, which is in the cache already.
        window: Newest positions that a token reads, itself included; None for all.
        scaling: Factor of the scores.

    Returns:
        (B, H, D).
    """
    rows = []
    for row, (first, position) in enumerate(
        zip(first_positions.tolist(), positions.tolist(), strict=True)
    ):
        table = tables[row]
        begin = first if window is None else max(first, position - window + 1)
        cells = slice(begin - first, position - first + 1)
        own_keys, own_values = (part[table].flatten(0, 1)[cells] for part in (keys, values))
        rows.append(_attend(query[row : row + 1], own_keys, own_values, None, scaling))
    return torch.cat(rows)


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
    """
    Attend with neighbouring tokens of one sequence, the first of them at `position`.

    Args:
        query: (T, H, D).
        keys: (blocks, block_size, H_kv, D).
        values: (blocks, block_size, H_kv, D).
        table: (N,) blocks of the sequence.
        first_position: Position of the table's first cell.
        position: Position of the first token; all are in the cache already.
        window: Newest positions that a token reads, itself included; None for all.
        scaling: Factor of the scores.

    Returns:
        (T, H, D).
    """
    end = position + query.shape[0]
    own_keys, own_values = (
        part[table].flatten(0, 1)[: end - first_position] for part in (keys, values)
    )
    cells = torch.arange(first_position, end, device=query.device)
    tokens = torch.arange(position, end, device=query.device)[:, None]
    allowed = cells <= tokens
    if window is not None:
        allowed &= cells > tokens - window
    return _attend(query, own_keys, own_values, allowed, scaling)


def finite(numbers: Tensor) -> Tensor:
    """Put 0 for what is no number."""
    return numbers.nan_to_num(nan=0, posinf=0, neginf=0)


def _attend(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scaling: float
) -> Tensor:
    """Attend in float32: (T, H, D) to (L, H_kv, D) -> (T, H, D)."""
    sharing = query.shape[1] // keys.shape[1]
    own, others, contents = (
        part.transpose(0, 1).float()
        for part in (
            query,
            keys.repeat_interleave(sharing, dim=1),
            values.repeat_interleave(sharing, dim=1),
        )
    )  # (H, T or L, D)
    scores = own @ others.transpose(1, 2) * scaling  # (H, T, L)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return (scores.softmax(dim=-1) @ contents).transpose(0, 1).to(query.dtype)
