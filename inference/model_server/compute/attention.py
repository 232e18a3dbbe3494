"""
Attend over the block cache, as an attention function of transformers.

A step packs the tokens of all its sequences into one row: `(1, T, ...)`, sequences that decode
first, one token each, then the chunks of prompts. Everything but attention works token by token and
needs no more; attention gets a `StepContext` as a keyword of the model's forward, which says where
each token's keys and values are written and which positions it may read.

    packed row   | a | b | c | d d d d d | e e e |        3 decode, 2 chunks, T = 11

The mask is ours as well: transformers makes none for an implementation without a mask function.
The sliding window counts the token itself: of window 4 the token at position 9 reads 6, 7, 8, 9.

This computes in plain torch with an explicit mask, on a CPU and on CUDA alike. Keys are written
before anything is read, so a token finds its own and its chunk's in the cache like all others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface

from model_server.compute.layer_cache import LayerCache
from model_server.compute.row_attention import attend_rows

IMPLEMENTATION = "block_cache"  # the name that the model's config selects


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodePart:
    """Describe neighbours among the tokens that decode, whose keys are gathered at once."""

    begin: int
    end: int
    blocks: Tensor  # (end - begin, N), N as the longest of these needs it
    mask: Tensor  # (end - begin, 1, 1, N * block_size), what is added to the scores


@dataclass(frozen=True, slots=True, kw_only=True)
class NearPart:
    """Describe the first tokens of the row, whose sequences have rows of near memory."""

    count: int
    length: int  # cells that are read of each row
    sources: Tensor  # (S,) cells of the blocks that the rows lack, those of this step among them
    targets: Tensor  # (S,) where these go: row * cells + cell
    mask: Tensor | None  # (count, 1, 1, length), added to scores; None where all read every cell


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeRows:
    """
    Describe the first B tokens of the row, each of a sequence of its own.

    The tables are those of the last F of them, which have no row of near memory: of all for who
    reads no masks.
    """

    blocks: Tensor  # (F, N), padded with any block: nobody reads it
    first_positions: Tensor  # (F,) of the first cell of each table
    positions: Tensor  # (B,) of the tokens
    near: NearPart | None = None
    parts: tuple[DecodePart, ...] = ()  # all F of them, for who reads masks


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptChunk:
    """Describe the tokens `begin` to `end` of the row, neighbours in one sequence."""

    begin: int
    end: int
    blocks: Tensor  # (1, N)
    first_position: int  # of the first cell of the table
    position: int  # of the first token
    mask: Tensor | None  # (end - begin, N * block_size), what is added to the scores
    is_causal: bool = False  # it begins its sequence, and its tokens read all before them: no mask


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """
    Carry what attention must know of a step, the same for every layer.

    Masks are there unless the step is made for kernels, which need none.
    """

    layers: Sequence[LayerCache]
    window: int | None
    slots: Tensor  # (T,)
    decode: DecodeRows | None
    chunks: tuple[PromptChunk, ...]

    def on(self, device: torch.device) -> "StepContext":
        """Move what attention reads to the device of a layer; on one device this is free."""
        if self.slots.device == device:
            return self
        rows = self.decode
        decode = rows and replace(
            rows,
            blocks=rows.blocks.to(device),
            first_positions=rows.first_positions.to(device),
            positions=rows.positions.to(device),
            parts=tuple(
                replace(part, blocks=part.blocks.to(device), mask=part.mask.to(device))
                for part in rows.parts
            ),
        )
        chunks = tuple(
            replace(chunk, blocks=chunk.blocks.to(device), mask=_moved(chunk.mask, device))
            for chunk in self.chunks
        )
        return replace(self, slots=self.slots.to(device), decode=decode, chunks=chunks)


Masks = TypeVar("Masks", Tensor, tuple[DecodePart, ...])


def attend(  # noqa: PLR0913 - the signature is that of transformers' attention functions
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001 - None, see `register`
    *,
    scaling: float,
    step: StepContext,
    **_ignored: object,
) -> tuple[Tensor, None]:
    """
    Store the new keys and values, then attend.

    Args:
        module: The attention module of one layer; says which.
        query: (1, H, T, D).
        key: (1, H_kv, T, D), rotated.
        value: (1, H_kv, T, D).
        attention_mask: Not used.
        scaling: Factor of the scores.
        step: What to write and read.

    Returns:
        (1, T, H, D), and no attention weights.
    """
    layer = step.layers[cast("int", module.layer_idx)]
    step = step.on(key.device)
    layer.write(step.slots, key[0].transpose(0, 1), value[0].transpose(0, 1))
    return attend_step(query[0].transpose(0, 1), layer, step, scaling).unsqueeze(0), None


def attend_step(query: Tensor, layer: LayerCache, step: StepContext, scaling: float) -> Tensor:
    """Attend to what the cache holds, this step's keys included: (T, H, D) -> (T, H, D)."""
    parts = []
    rows = step.decode
    if rows is not None:
        if rows.near is not None:
            parts.append(_near(query, layer, rows.near, scaling))
        else:
            _there(rows.parts)
        parts += [_decode(query, layer, part, scaling) for part in rows.parts]
    parts += [_chunk(query, layer, chunk, scaling) for chunk in step.chunks]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _near(query: Tensor, layer: LayerCache, part: NearPart, scaling: float) -> Tensor:
    """Attend with one token per sequence that has a row -> (count, H, D)."""
    near = layer.near
    if near is None:
        raise ValueError("this step was made for near memory: this layer has none")
    near.copy(part.sources, part.targets)
    keys, values = near.read(part.count, part.length)  # (B, H_kv, L, D)
    return attend_rows(query[: part.count], keys, values, part.mask, scaling)


def _decode(query: Tensor, layer: LayerCache, part: DecodePart, scaling: float) -> Tensor:
    """Attend with one token per sequence -> (end - begin, H, D)."""
    keys, values = layer.read(part.blocks)  # (B, H_kv, L, D)
    return attend_rows(query[part.begin : part.end], keys, values, part.mask, scaling)


def _chunk(query: Tensor, layer: LayerCache, chunk: PromptChunk, scaling: float) -> Tensor:
    """Attend with several tokens of one sequence -> (end - begin, H, D)."""
    keys, values = layer.read(chunk.blocks)  # (1, H_kv, L, D)
    length = chunk.end - chunk.begin if chunk.is_causal else keys.shape[2]
    attended = functional.scaled_dot_product_attention(
        query[chunk.begin : chunk.end].transpose(0, 1)[None],
        keys[:, :, :length],
        values[:, :, :length],
        attn_mask=None if chunk.is_causal else _there(chunk.mask),
        is_causal=chunk.is_causal,
        scale=scaling,
        enable_gqa=True,
    )
    return attended[0].transpose(0, 1)


def visible(
    first_positions: Tensor, positions: Tensor, length: int, sliding_window: int | None
) -> Tensor:
    """
    Tell which cells of the cache each token may read.

    Example: window 3, a table whose first cell is position 4, of length 6 (positions 4 to 9); the
    token at position 8 reads 6, 7 and 8: F F T T T F.

    Args:
        first_positions: (B,) position of the first cell of each token's table.
        positions: (B,) position of each token.
        length: Cells in each table, L.
        sliding_window: Newest positions that a token reads, itself included; None for all.

    Returns:
        (B, L) bool.
    """
    cells = first_positions[:, None] + torch.arange(length, device=positions.device)[None]  # (B, L)
    allowed = cells <= positions[:, None]
    if sliding_window is not None:
        allowed &= cells > positions[:, None] - sliding_window
    return allowed


def added(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn what may be read into what is added to scores: SDPA would do so in every layer."""
    return torch.zeros_like(allowed, dtype=dtype).masked_fill_(~allowed, -torch.inf)


def _moved(mask: Tensor | None, device: torch.device) -> Tensor | None:
    return None if mask is None else mask.to(device)


def _there(masks: Masks | None) -> Masks:
    """Insist on masks: SDPA without one would attend to everything."""
    if masks is None or len(masks) == 0:
        raise ValueError("this step was made for kernels: it has no masks")
    return masks


def register() -> None:
    """
    Make the implementation known to transformers; a second time changes nothing.

    It has no mask function: transformers then makes no mask, and does not look for one either.
    """
    AttentionInterface.register(IMPLEMENTATION, attend)
