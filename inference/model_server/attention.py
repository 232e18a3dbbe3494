"""
Attend over the block cache, as an attention function of transformers.

A step packs the tokens of all its sequences into one row: `(1, T, ...)`, sequences that decode
first, one token each, then the chunks of prompts. Everything but attention works token by token and
needs no more; attention gets a `StepContext` as a keyword of the model's forward, which says where
each token's keys and values are written and which positions it may read.

    packed row   | a | b | c | d d d d d | e e e |        3 decode, 2 chunks, T = 11

The mask is ours as well: transformers makes none for an implementation without a mask function.
The sliding window counts the token itself: of window 4 the token at position 9 reads 6, 7, 8, 9.

This file computes with SDPA and an explicit mask, on a CPU and on CUDA alike. Keys are written
before anything is read, so a token finds its own and its chunk's in the cache like all others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface

from model_server.kernels.twins import finite

IMPLEMENTATION = "block_cache"  # the name that the model's config selects


class Gathered:
    """
    Keep memory for what a layer reads, on a CPU: the next layer reads into the same.

    A fresh tensor of a few megabytes costs more in page faults than the copy into it.
    """

    def __init__(self) -> None:
        """Start with none; it grows to the largest step."""
        self._held: dict[str, Tensor] = {}

    def take(self, name: str, cells: Tensor, blocks: Tensor) -> Tensor:
        """Copy those blocks of (H_kv, blocks, block_size, D) -> (H_kv, count, block_size, D)."""
        shape = (cells.shape[0], len(blocks), *cells.shape[2:])
        size = math.prod(shape)
        held = self._held.get(name)
        if held is None or held.numel() < size:
            held = self._held[name] = cells.new_empty(size)
        return torch.index_select(cells, 1, blocks, out=held[:size].view(shape))


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCache:
    """
    Hold the keys and values of one layer: (blocks, block_size, H_kv, D) each.

    On a CPU they lie in memory head by head (`make`): what is gathered is then as attention wants
    it, the cells of one head one behind the other.
    """

    keys: Tensor
    values: Tensor
    gathered: Gathered

    @classmethod
    def make(
        cls,
        shape: tuple[int, int, int, int],
        *,
        dtype: torch.dtype,
        device: torch.device,
        gathered: Gathered,
    ) -> Self:
        """Allocate (blocks, block_size, H_kv, D) twice; zeros, so that no cell is NaN."""
        blocks, block_size, heads, size = shape

        def cells() -> Tensor:
            if device.type != "cpu":
                return torch.zeros(shape, dtype=dtype, device=device)
            by_head = torch.zeros((heads, blocks, block_size, size), dtype=dtype)
            return by_head.permute(1, 2, 0, 3)

        return cls(keys=cells(), values=cells(), gathered=gathered)

    def write(self, slots: Tensor, keys: Tensor, values: Tensor) -> None:
        """
        Store new keys and values, with 0 for what is no number: `rotate_and_store` says why.

        Args:
            slots: (T,) where: block * block_size + offset.
            keys: (T, H_kv, D), rotated already.
            values: (T, H_kv, D).
        """
        self.keys.flatten(0, 1).index_copy_(0, slots, finite(keys))
        self.values.flatten(0, 1).index_copy_(0, slots, finite(values))

    def read(self, blocks: Tensor) -> tuple[Tensor, Tensor]:
        """
        Gather rows of blocks, (B, N) -> keys and values of (B, H_kv, N * block_size, D).

        They hold until the next read.
        """
        return self._read("keys", self.keys, blocks), self._read("values", self.values, blocks)

    def _read(self, name: str, cells: Tensor, blocks: Tensor) -> Tensor:
        if cells.device.type != "cpu":
            return cells[blocks].flatten(1, 2).transpose(1, 2)
        by_head = self.gathered.take(name, cells.permute(2, 0, 1, 3), blocks.flatten())
        heads, size = by_head.shape[0], by_head.shape[-1]
        return by_head.view(heads, blocks.shape[0], -1, size).transpose(0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodePart:
    """Describe neighbours among the tokens that decode, whose keys are gathered at once."""

    begin: int
    end: int
    blocks: Tensor  # (end - begin, N), N as the longest of these needs it
    mask: Tensor  # (end - begin, 1, 1, N * block_size) bool, True where the token may read


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeRows:
    """Describe the first B tokens of the row, each of a sequence of its own."""

    blocks: Tensor  # (B, N), padded with any block: nobody reads it
    first_positions: Tensor  # (B,) of the first cell of each table
    positions: Tensor  # (B,) of the tokens
    parts: tuple[DecodePart, ...] = ()  # all B of them, for who reads masks


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptChunk:
    """Describe the tokens `begin` to `end` of the row, neighbours in one sequence."""

    begin: int
    end: int
    blocks: Tensor  # (1, N)
    first_position: int  # of the first cell of the table
    position: int  # of the first token
    mask: Tensor | None  # (end - begin, N * block_size) bool, True where the token may read


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
        decode = rows and DecodeRows(
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
    if step.decode is not None:
        parts += [_decode(query, layer, part, scaling) for part in _there(step.decode.parts)]
    parts += [_chunk(query, layer, chunk, scaling) for chunk in step.chunks]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _decode(query: Tensor, layer: LayerCache, part: DecodePart, scaling: float) -> Tensor:
    """Attend with one token per sequence -> (end - begin, H, D)."""
    keys, values = layer.read(part.blocks)  # (B, H_kv, L, D)
    count, heads_kv, _, size = keys.shape
    # The heads that share keys become the queries of one head, so nothing is repeated.
    own = query[part.begin : part.end].reshape(count, heads_kv, -1, size)
    attended = functional.scaled_dot_product_attention(
        own, keys, values, attn_mask=part.mask, scale=scaling
    )
    return attended.flatten(1, 2)


def _chunk(query: Tensor, layer: LayerCache, chunk: PromptChunk, scaling: float) -> Tensor:
    """Attend with several tokens of one sequence -> (end - begin, H, D)."""
    keys, values = layer.read(chunk.blocks)  # (1, H_kv, L, D)
    attended = functional.scaled_dot_product_attention(
        query[chunk.begin : chunk.end].transpose(0, 1)[None],
        keys,
        values,
        attn_mask=_there(chunk.mask),
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
