"""
Multiply silu of the gate with the other half, `twins.silu_mul`.

One program per token and tile of columns.
"""

import triton
import triton.language as tl
from torch import Tensor

TILE = 1024


@triton.jit
def _gate(
    gate_up: tl.tensor,  # (T, 2 * width)
    product: tl.tensor,  # (T, width), written
    width: tl.constexpr,
    tile: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * tile + tl.arange(0, tile)
    there = column < width
    begin = gate_up + row * 2 * width
    gate = tl.load(begin + column, mask=there, other=0.0)
    up = tl.load(begin + width + column, mask=there, other=0.0)
    wide = gate.to(tl.float32)
    opened = (wide / (1.0 + tl.exp(-wide))).to(gate.dtype)
    result = (opened.to(tl.float32) * up.to(tl.float32)).to(gate.dtype)
    tl.store(product + row * width + column, result, mask=there)


def silu_mul(gate_up: Tensor) -> Tensor:
    """Gate: (T, 2 F) -> (T, F)."""
    rows, width = gate_up.shape[0], gate_up.shape[1] // 2
    product = gate_up.new_empty(rows, width)
    _gate[(rows, triton.cdiv(width, TILE))](
        gate_up.contiguous(), product, width=width, tile=TILE, enable_fp_fusion=False
    )
    return product
