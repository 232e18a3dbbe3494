"""
Choose how the logits of a step are computed: a ladder, each rung the twin of the one below.

    off      transformers' own forward, with our attention function
    fused    few and large products, in plain torch
    kernels  the rest of a layer as Triton kernels, on a GPU
    graphs   steps that only decode as CUDA graphs, on a GPU

All but the first need a model that `fused` knows, whole on one device. Kernels need a GPU on which
each of them agrees with its twin: that is tried here, at every start, and where one does not, or
cannot be compiled, the rung below is taken and the log says why. On a CPU nothing of Triton or CUDA
is imported; there the weights of a model that fits no cache are packed for oneDNN.
"""

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from model_server.compute.attention import IMPLEMENTATION, StepContext, register
from model_server.compute.fused import TORCH, FusedDecoder, can_be_fused
from model_server.compute.model import LoadedModel
from model_server.compute.packed_linear import can_pack
from model_server.settings import FastPaths

logger = logging.getLogger(__name__)

# Tokens (T,), positions (T,), the step, tokens whose logits are wanted (K,) or None for all
# -> logits (K, V)
Forward = Callable[[Tensor, Tensor, StepContext, Tensor | None], Tensor]


class Graph(Protocol):
    """Record a function once and repeat it on what its memory holds by then."""

    def capture(self, compute: Callable[[], Tensor]) -> Tensor:
        """Record; answer the memory that each replay writes its result to."""

    def replay(self) -> None:
        """Compute again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """Say how steps are computed."""

    forward: Forward
    masked: bool = True  # whether its attention needs masks
    make_graph: Callable[[], Graph] | None = None  # where steps that only decode are recorded


class ModuleForward:
    """Call transformers' modules, whatever they are and wherever they lie."""

    def __init__(self, model: LoadedModel) -> None:
        """Take the model over: its attention is ours from here on."""
        register()
        self._module: Any = model.module
        self._module.set_attn_implementation(IMPLEMENTATION)

    def __call__(
        self, tokens: Tensor, positions: Tensor, step: StepContext, keep: Tensor | None
    ) -> Tensor:
        """Compute a step: (T,), (T,), (K,) -> (K, V)."""
        logits: Tensor = self._module(
            input_ids=tokens[None],
            position_ids=positions[None],
            use_cache=False,
            logits_to_keep=0 if keep is None else keep,
            step=step,
        ).logits[0]
        return logits


class CudaGraph:
    """Record what a function launches on the GPU."""

    def __init__(self, pool: Any) -> None:  # noqa: ANN401 - torch's handle of shared memory
        """Share memory with the other graphs: no two run at once."""
        self._graph = torch.cuda.CUDAGraph()
        self._pool = pool

    def capture(self, compute: Callable[[], Tensor]) -> Tensor:
        """Run twice aside, so that libraries have what they need, then record."""
        aside: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call] # torch left it untyped
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(2):
                compute()
        torch.cuda.current_stream().wait_stream(aside)
        with torch.cuda.graph(self._graph, pool=self._pool):
            return compute()

    def replay(self) -> None:
        """Launch what was recorded."""
        self._graph.replay()


def choose_path(model: LoadedModel, asked: FastPaths) -> Path:
    """Take the rung that was asked for, or the highest below it that works."""
    if asked is FastPaths.OFF or not can_be_fused(model.module):
        return Path(forward=ModuleForward(model))
    decoder = FusedDecoder(model.module, TORCH, model.adapters, is_packed=_is_packed(model))
    fused = Path(forward=decoder)
    if asked is FastPaths.FUSED or model.device.type != "cuda":
        return fused
    kernels = importlib.import_module("model_server.compute.kernel_operations")  # Triton: a second
    fault = kernels.fault_of_kernels(model)
    if fault is not None:
        logger.warning("kernels_are_off", extra={"error": fault})
        return fused
    operations = kernels.kernel_operations(kernels.processors_of(model.device))
    forward = FusedDecoder(model.module, operations, model.adapters)
    if asked is FastPaths.KERNELS:
        return Path(forward=forward, masked=False)
    pool = torch.cuda.graph_pool_handle()
    return Path(forward=forward, masked=False, make_graph=lambda: CudaGraph(pool))


def _is_packed(model: LoadedModel) -> bool:
    """
    Tell whether a product with packed weights is faster.

    It reads memory faster; where the weights stay in the caches its calls cost more than they save.
    Source: docs/log.md, 2026-11-21: 229 M parameters against 0.5 M.
    """
    is_plain = model.device.type == "cpu" and model.dtype == torch.float32
    return not model.is_small and is_plain and can_pack()
