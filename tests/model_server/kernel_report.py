"""
Try the kernels in a process of their own and print what was seen as one JSON object.

    TRITON_INTERPRET=1 python -m tests.model_server.kernel_report interpret
    python -m tests.model_server.kernel_report compile

Triton decides when a kernel is defined whether it is interpreted, so one process cannot do both.
`compile` needs no GPU: Triton's wheel has the assembler. Its figures are what a launch must have of
shared memory, which a card may not have.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import torch
from model_server.compute.kernels import attend_chunk, attend_tokens, cases, gate, norm, rotate

# Mistral 7B and Mixtral 8x7B have the same heads and widths; the window is short to try its border.
SHAPES = {
    "tiny with a window": (
        torch.float32,
        cases.Shape(
            heads=8,
            heads_kv=2,
            head_size=8,
            hidden=64,
            intermediate=96,
            window=24,
            block_size=5,
        ),
    ),
    "tiny in full": (
        torch.float32,
        cases.Shape(
            heads=6,
            heads_kv=2,
            head_size=16,
            hidden=96,
            intermediate=1100,
            window=None,
            block_size=16,
        ),
    ),
    "mistral and mixtral": (
        torch.float16,
        cases.Shape(
            heads=32,
            heads_kv=8,
            head_size=128,
            hidden=4096,
            intermediate=14336,
            window=96,
            block_size=64,
        ),
    ),
}
TARGETS = (80, 90)  # A100, and A10G by the same code; H100 and H200
HEADS = {"heads_kv": 8, "sharing": 4, "size": 128, "block_size": 64, "window": 4096}
TILES = {"columns": 128, "tile": 64}
NUMBERS = ["hidden", "residual", "weight", "summed", "normed", "gate_up", "product", "heads"]
NUMBERS += ["cosines", "sines", "query", "keys", "values", "attended"]


def main(what: str) -> None:
    """Print the report of `interpret` or `compile`."""
    report = interpreted() if what == "interpret" else dict(compiled())
    sys.stdout.write(json.dumps(report))


def interpreted() -> dict[str, list[dict[str, Any]]]:
    """Compare every kernel with its twin, shape by shape."""
    return {
        name: [
            {"name": seen.name, "error": seen.error, "agrees": seen.agrees}
            for seen in cases.compare(shape, dtype, torch.device("cpu"))
        ]
        for name, (dtype, shape) in SHAPES.items()
    }


def compiled() -> Iterator[tuple[str, int]]:
    """Compile every kernel for every target, as Mistral 7B in BF16 launches it."""
    import triton  # noqa: PLC0415 - its compiler is not there under the interpreter
    from triton.backends.compiler import GPUTarget  # noqa: PLC0415 - the same
    from triton.compiler import ASTSource  # noqa: PLC0415 - the same

    for name, kernel, kinds, constants, warps in kernels():
        for target in TARGETS:
            signature = {
                argument: "constexpr" if argument in constants else kinds[argument]
                for argument in kernel.arg_names
            }
            source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
            options = {"num_warps": warps, "enable_fp_fusion": True}
            result = triton.compile(source, target=GPUTarget("cuda", target, 32), options=options)
            if not result.asm["cubin"]:
                raise SystemExit(f"{name}: no code for sm_{target}")
            yield f"{name} sm_{target}", result.metadata.shared


def kernels() -> Iterator[tuple[str, Any, dict[str, str], dict[str, int], int]]:
    """Name each kernel's arguments' types and its constants."""
    numbers = dict.fromkeys(NUMBERS, "*bf16")
    whole = dict.fromkeys(["slots", "tables", "table", "first_positions", "positions"], "*i64")
    strides = ["slot_stride", "table_stride", "first_stride", "position_stride"]
    counts = dict.fromkeys([*strides, *attend_chunk.VARYING], "i32")
    kinds = {**numbers, **whole, **counts, "parts": "*fp32", "sums": "*fp32"}
    kinds |= {"scaling": "fp32", "eps": "fp32"}
    width = {"width": 4096, "padded": 4096}
    yield "norm", norm._norm, kinds, {**width, "adds": False}, norm.WARPS
    yield "norm with residual", norm._norm, kinds, {**width, "adds": True}, norm.WARPS
    yield "gate", gate._gate, kinds, {"width": 14336, "tile": gate.TILE}, 4
    turned = {"heads_query": 32, "heads_kv": 8, "half": 64, "padded": 64}
    yield "rotate", rotate._rotate, kinds, turned, 1
    for splits in (1, attend_tokens.MOST_SPLITS):
        of_tokens = {**HEADS, **TILES, "splits": splits, "rows": 16}
        yield f"tokens in {splits}", attend_tokens._attend, kinds, of_tokens, 4
        joined = {"size": 128, "splits": splits, "columns": 128}
        yield f"join of {splits}", attend_tokens._join, kinds, joined, 4
    of_chunk = {**HEADS, **TILES, "tokens": attend_chunk.TOKENS}
    yield "chunk", attend_chunk._attend, kinds, of_chunk, 4


if __name__ == "__main__":
    main(sys.argv[1])
