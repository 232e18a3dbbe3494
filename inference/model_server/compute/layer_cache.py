"""
Hold the keys and values of one layer, in blocks that sequences share, and near for who decodes.

On a CPU two things decide how fast attention is: whether the cells of one head lie one behind the
other, and how often they are copied. So the cells lie head by head, and a sequence that decodes has
beside its blocks a row of its own (`Near`), which SDPA reads as it lies there. What a step adds to
a row is one cell; the row is a copy of what the blocks hold, made anew whenever it is lost, so
nothing depends on it but time. Who has a row is said by seats.py.
"""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from model_server.compute.kernels.twins import finite


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
class Near:
    """Hold what sequences that decode read, a row for each; on a CPU."""

    rows: Tensor  # (2, H_kv, rows, cells, D): keys, then values
    blocks: Tensor  # (2, H_kv, blocks * block_size, D): the very memory of the blocks

    def copy(self, sources: Tensor, targets: Tensor) -> None:
        """Copy cells of the blocks, (S,), to cells of the rows, (S,): row * cells + cell."""
        rows = self.rows.flatten(0, 1).flatten(1, 2)
        rows.index_copy_(1, targets, self.blocks.flatten(0, 1).index_select(1, sources))

    def read(self, count: int, length: int) -> tuple[Tensor, Tensor]:
        """Show the first cells of the first rows: keys and values of (count, H_kv, length, D)."""
        keys, values = self.rows[:, :, :count, :length].transpose(1, 2)
        return keys, values


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
    near: Near | None = None

    @classmethod
    def make(
        cls,
        shape: tuple[int, int, int, int],
        *,
        dtype: torch.dtype,
        device: torch.device,
        gathered: Gathered,
        near: tuple[int, int],
    ) -> Self:
        """
        Allocate zeros, so that no cell is NaN.

        Args:
            shape: blocks, block_size, H_kv, D; twice.
            dtype: Of the numbers.
            device: Where the layer is.
            gathered: What the layers share.
            near: rows and the cells of each; none are made where one is 0, or beyond a CPU.
        """
        if device.type != "cpu":
            keys, values = (torch.zeros(shape, dtype=dtype, device=device) for _ in range(2))
            return cls(keys=keys, values=values, gathered=gathered)
        blocks, block_size, heads, size = shape
        both = torch.zeros((2, heads, blocks, block_size, size), dtype=dtype)
        keys, values = both.permute(0, 2, 3, 1, 4)
        rows = torch.zeros((2, heads, *near, size), dtype=dtype)
        beside = Near(rows=rows, blocks=both.flatten(2, 3)) if rows.numel() else None
        return cls(keys=keys, values=values, gathered=gathered, near=beside)

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
