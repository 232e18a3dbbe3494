"""
Multiply by weights that oneDNN has packed once, where a model does not fit a CPU's caches.

For a few rows torch's own product in float32 (MKL's) reads a large weight at a third to a half of
the memory's speed. A weight in the blocks that oneDNN's kernels read is as fast as the memory.
docs/server.md has the figures.

The packed form takes the weight's place: nothing is kept twice, and while a product is packed that
one product is. Who goes on to use the module finds a `PackedLinear`: it has no `weight`, is in no
`state_dict`, and refuses to compute. So adapters must be merged before.

    storage   | q_proj.weight | k_proj.weight | v_proj.weight |  ->  one packed product, in blocks

The kernels for one row and for two read the weights a quarter slower than the one for four: so a
few rows are filled up with zeros. Then a row's result was the same by itself and among others where
it was tried; nothing rests on it (docs/server.md).
"""

from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn import functional

FEWEST_ROWS = 4  # source: docs/log.md, 2026-11-22
_ONEDNN: Any = torch.ops.mkldnn  # what torch's own compiler calls for frozen weights


class WeightsArePacked(RuntimeError):
    """A module was called whose weight only the fused decoder can use now."""


class PackedLinear(nn.Module):
    """Stand where a linear layer was, and hold the product that its rows went into."""

    def __init__(self, packed: Tensor, out_features: int) -> None:
        """Keep the product, of which several modules may be parts."""
        super().__init__()
        self.packed: Tensor
        self.register_buffer("packed", packed, persistent=False)
        self.out_features = out_features

    def forward(self, *inputs: object) -> NoReturn:
        """
        Refuse: the fused decoder multiplies by the whole product.

        Raises:
            WeightsArePacked: Always.
        """
        del inputs
        raise WeightsArePacked(
            "the weights of this model are packed for oneDNN and only the server's fused decoder "
            "computes with them: load the checkpoint again, or serve with --fast-paths off"
        )


def can_pack() -> bool:
    """Tell whether this build of torch has oneDNN."""
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call] # torch's


def pack(weight: Tensor) -> Tensor:
    """Lay a float32 weight of a CPU, (out, in), into the blocks of oneDNN's kernels."""
    packed: Tensor = _ONEDNN._reorder_linear_weight(weight.detach(), None)  # noqa: SLF001 - the operator's name
    return packed


def multiply(inputs: Tensor, packed: Tensor) -> Tensor:
    """Do what `functional.linear` does with the plain weight: (T, in) -> (T, out)."""
    rows = len(inputs)
    if not rows:  # oneDNN knows no product of no rows
        return inputs.new_empty((0, packed.shape[0]))
    if rows < FEWEST_ROWS:
        inputs = functional.pad(inputs, (0, 0, 0, FEWEST_ROWS - rows))
    outputs: Tensor = _ONEDNN._linear_pointwise(inputs, packed, None, "none", [], "")  # noqa: SLF001 - the same
    return outputs[:rows]
