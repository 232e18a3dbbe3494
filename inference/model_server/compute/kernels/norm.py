"""
Normalise by the root of the mean square, after adding to the residual stream if there is one.

One program per token. Twins: `twins.rms_norm`, `twins.add_rms_norm`.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

WARPS = 8  # for rows of 4,096


@triton.jit
def _norm(
    hidden: tl.tensor,  # (T, width)
    residual: tl.tensor,  # (T, width), read where `adds`
    weight: tl.tensor,  # (width,)
    summed: tl.tensor,  # (T, width), written where `adds`
    normed: tl.tensor,  # (T, width), written
    eps: tl.tensor,
    width: tl.constexpr,
    padded: tl.constexpr,
    adds: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64) * width
    column = tl.arange(0, padded)
    there = column < width
    numbers = tl.load(hidden + row + column, mask=there, other=0.0)
    if adds:
        other = tl.load(residual + row + column, mask=there, other=0.0)
        numbers = (numbers.to(tl.float32) + other.to(tl.float32)).to(numbers.dtype)
        tl.store(summed + row + column, numbers, mask=there)
    wide = numbers.to(tl.float32)
    square = tl.sum(wide * wide, axis=0) / width
    scaled = (wide * tl.rsqrt(square + eps)).to(numbers.dtype).to(tl.float32)
    factor = tl.load(weight + column, mask=there, other=0.0).to(tl.float32)
    tl.store(normed + row + column, (factor * scaled).to(numbers.dtype), mask=there)


def rms_norm(hidden: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Normalise: (T, C), (C,) -> (T, C)."""
    return _launch(hidden, None, weight, eps)[1]


def add_rms_norm(
    residual: Tensor, hidden: Tensor, weight: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Add to the residual stream and normalise: (T, C) twice -> (the new residual, normed)."""
    return _launch(hidden, residual, weight, eps)


def _launch(
    hidden: Tensor, residual: Tensor | None, weight: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    hidden = hidden.contiguous()
    normed = torch.empty_like(hidden)
    adds = residual is not None
    summed = torch.empty_like(hidden) if adds else hidden
    width = hidden.shape[1]
    _norm[(hidden.shape[0],)](
        hidden,
        hidden if residual is None else residual.contiguous(),
        weight,
        summed,
        normed,
        eps,
        width=width,
        padded=triton.next_power_of_2(width),
        adds=adds,
        num_warps=WARPS,
        enable_fp_fusion=False,
    )
    return summed, normed
