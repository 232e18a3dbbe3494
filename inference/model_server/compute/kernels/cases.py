"""
Put every kernel beside its twin, on any device.

A server does this at its start, benchmarks/gpu before it measures, and the tests do it on a CPU
under Triton's interpreter. Shapes are the model's own where they decide about the code (heads, head
size, widths, window), few tokens else: a dozen launches, of which compiling takes the time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from model_server.compute.kernels import twins
from model_server.compute.kernels.attend_chunk import attend_chunk
from model_server.compute.kernels.attend_tokens import attend_tokens
from model_server.compute.kernels.gate import silu_mul
from model_server.compute.kernels.norm import add_rms_norm, rms_norm
from model_server.compute.kernels.rotate import rotate_and_store

# Of the largest number: rounding in the order of additions. Norm, gate and rotation round where the
# twin does, attention rounds its weights as well.
BOUNDS = {torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 2e-2}
EPS = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Say what of a model the kernels are made for."""

    heads: int
    heads_kv: int
    head_size: int
    hidden: int
    intermediate: int
    window: int | None
    block_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Say how far a kernel is from its twin, in parts of the twin's largest number."""

    name: str
    error: float
    bound: float

    @property
    def agrees(self) -> bool:
        """Whether it is near enough; an error that is no number is not."""
        return self.error <= self.bound


def compare(shape: Shape, dtype: torch.dtype, device: torch.device) -> Iterator[Comparison]:
    """Run all kernels, the cheap ones first."""
    make = _Numbers(dtype, device)
    for parts in (_norms, _gates, _rotations, _tokens, _chunks):
        for name, kernel, twin in parts(shape, make):
            yield Comparison(name=name, error=_distance(kernel, twin), bound=BOUNDS[dtype])


Case = tuple[str, Tensor, Tensor]


class _Numbers:
    """Draw the same numbers on every device."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._generator = torch.Generator().manual_seed(0)
        self._dtype = dtype
        self.device = device

    def __call__(self, *shape: int) -> Tensor:
        drawn = torch.randn(shape, generator=self._generator)
        return drawn.to(self.device, self._dtype)

    def order(self, count: int) -> Tensor:
        return torch.randperm(count, generator=self._generator).to(self.device)

    def whole(self, *values: int) -> Tensor:
        return torch.tensor(values, device=self.device)


def _norms(shape: Shape, make: _Numbers) -> Iterator[Case]:
    weight = make(shape.hidden)
    for tokens in (1, 3):
        hidden, residual = make(tokens, shape.hidden), make(tokens, shape.hidden)
        yield (
            f"rms_norm of {tokens}",
            rms_norm(hidden, weight, EPS),
            twins.rms_norm(hidden, weight, EPS),
        )
        ours = add_rms_norm(residual, hidden, weight, EPS)
        theirs = twins.add_rms_norm(residual, hidden, weight, EPS)
        yield f"add_rms_norm of {tokens}: sum", ours[0], theirs[0]
        yield f"add_rms_norm of {tokens}: norm", ours[1], theirs[1]


def _gates(shape: Shape, make: _Numbers) -> Iterator[Case]:
    for tokens in (1, 3):
        gate_up = make(tokens, 2 * shape.intermediate)
        yield f"silu_mul of {tokens}", silu_mul(gate_up), twins.silu_mul(gate_up)


def _rotations(shape: Shape, make: _Numbers) -> Iterator[Case]:
    tokens = 3
    heads = make(tokens, shape.heads + 2 * shape.heads_kv, shape.head_size)
    heads[1, shape.heads, 0] = torch.nan  # of a key
    heads[2, -1, -1] = torch.inf  # of a value
    angles = make(tokens, shape.head_size).float()
    cosines, sines = angles.cos().to(heads.dtype), angles.sin().to(heads.dtype)
    packed = torch.stack([make.order(2 * shape.block_size)[:tokens]] * 2, dim=1)  # with a stride
    slots = packed[:, 0]
    empty = heads.new_zeros(2, shape.block_size, shape.heads_kv, shape.head_size)
    ours, theirs = ((empty.clone(), empty.clone()) for _ in range(2))
    query = rotate_and_store(heads, cosines, sines, slots, *ours)
    yield (
        "rotate_and_store: query",
        query,
        twins.rotate_and_store(heads, cosines, sines, slots, *theirs),
    )
    yield "rotate_and_store: keys", ours[0], theirs[0]
    yield "rotate_and_store: values", ours[1], theirs[1]


def _positions(shape: Shape) -> list[int]:
    """Choose lengths at the borders of blocks and of the window."""
    window = shape.window or 3 * shape.block_size
    return [0, shape.block_size - 1, shape.block_size, window - 1, window, window + 1, 2 * window]


def _tokens(shape: Shape, make: _Numbers) -> Iterator[Case]:
    positions = _positions(shape)
    size, window = shape.block_size, shape.window
    # A table begins with the block that holds the oldest position in the window.
    firsts = [max(0, p - window + 1) // size * size if window else 0 for p in positions]
    width = max((p - f) // size + 1 for p, f in zip(positions, firsts, strict=True))
    blocks = width * len(positions)
    asked = (
        make(len(positions), shape.heads, shape.head_size),
        make(blocks, size, shape.heads_kv, shape.head_size),
        make(blocks, size, shape.heads_kv, shape.head_size),
        make.order(blocks).view(len(positions), width),
        make.whole(*firsts),
        make.whole(*positions),
    )
    scaling = shape.head_size**-0.5
    expected = twins.attend_tokens(*asked, window=window, scaling=scaling)
    for splits in (1, 2, 8):
        ours = attend_tokens(*asked, window=window, scaling=scaling, splits=splits)
        yield f"attend_tokens in {splits} splits", ours, expected


def _chunks(shape: Shape, make: _Numbers) -> Iterator[Case]:
    window = shape.window
    for position, count in ((0, 1), (0, shape.block_size + 3), (_positions(shape)[-1] - 5, 70)):
        first = max(0, position - window + 1) if window else 0
        first = first // shape.block_size * shape.block_size
        blocks = (position + count - 1 - first) // shape.block_size + 1
        asked = (
            make(count, shape.heads, shape.head_size),
            make(blocks, shape.block_size, shape.heads_kv, shape.head_size),
            make(blocks, shape.block_size, shape.heads_kv, shape.head_size),
            make.order(blocks),
        )
        ours, theirs = (
            do(
                *asked,
                first_position=first,
                position=position,
                window=window,
                scaling=shape.head_size**-0.5,
            )
            for do in (attend_chunk, twins.attend_chunk)
        )
        yield f"attend_chunk of {count} from {position}", ours, theirs


def _distance(ours: Tensor, theirs: Tensor) -> float:
    """Measure the largest difference, where both are numbers; not being one must agree."""
    ours, theirs = ours.float(), theirs.float()
    if not torch.equal(ours.isfinite(), theirs.isfinite()):
        return float("inf")
    there = theirs.isfinite()
    largest = theirs[there].abs().max().clamp(min=1e-6)
    return float((ours[there] - theirs[there]).abs().max() / largest)
