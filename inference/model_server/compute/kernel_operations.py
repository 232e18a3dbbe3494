"""
Compute a layer's operations with the kernels, and say why a GPU cannot.

Imports Triton: `forward` imports this where there is a GPU and nowhere else.
"""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor

from model_server.compute.fused import Operations, by_table
from model_server.compute.kernels.attend_chunk import attend_chunk
from model_server.compute.kernels.attend_tokens import MOST_SPLITS, attend_tokens
from model_server.compute.kernels.cases import Comparison, Shape, compare
from model_server.compute.kernels.gate import silu_mul
from model_server.compute.kernels.norm import add_rms_norm, rms_norm
from model_server.compute.kernels.rotate import rotate_and_store
from model_server.compute.model import LoadedModel

BLOCK_SIZE = 64  # of the comparison; a launch takes the cache's own


def kernel_operations(processors: int) -> Operations:
    """Bind the kernels, for a card of so many processors."""

    def split_tokens(query: Tensor, keys: Tensor, *others: Tensor, **how: Any) -> Tensor:  # noqa: ANN401 - passed on
        splits = split_count(len(query) * keys.shape[2], processors)
        return attend_tokens(query, keys, *others, splits=splits, **how)

    return Operations(
        rms_norm=rms_norm,
        add_rms_norm=add_rms_norm,
        rotate_and_store=rotate_and_store,
        silu_mul=silu_mul,
        attend=by_table(split_tokens, attend_chunk),
    )


def split_count(programs: int, processors: int) -> int:
    """
    Split what each program reads until every processor has two programs, as a power of two.

    Example: one sequence and 8 key-value heads on 132 processors: 8 programs, 32 splits; 64
    sequences: 512 programs, 1.
    """
    wanted = -(-2 * processors // programs)
    return min(MOST_SPLITS, 1 << max(0, wanted - 1).bit_length())


def shape_of(model: LoadedModel) -> Shape:
    """Read from a model what its kernels are made for; a window is cut, to be short to try."""
    config: Any = model.module.config
    heads_kv, head_size = model.kv_shape
    window = model.sliding_window
    return Shape(
        heads=config.num_attention_heads,
        heads_kv=heads_kv,
        head_size=head_size,
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        window=None if window is None else min(window, 96),
        block_size=BLOCK_SIZE,
    )


def fault_of_kernels(model: LoadedModel) -> str | None:
    """Run every kernel beside its twin on the model's device; None if all agree."""
    try:
        return first_fault(compare(shape_of(model), model.dtype, model.device))
    except Exception as error:  # noqa: BLE001 - Triton raises whatever compiler or driver did
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def first_fault(comparisons: Iterable[Comparison]) -> str | None:
    """Say which comparison failed first."""
    for seen in comparisons:
        if not seen.agrees:
            return f"{seen.name} is {seen.error:.1e} from its twin, allowed are {seen.bound:.0e}"
    return None


def processors_of(device: torch.device) -> int:
    """Count the multiprocessors of a card."""
    properties: Any = torch.cuda.get_device_properties(device)
    return cast("int", properties.multi_processor_count)
