"""
Choose how the logits of a step are computed: a ladder, each rung the twin of the one below.

    off      transformers' own forward, with our attention function
    fused    few and large products, in plain torch

The higher rung needs a model that `fused` knows, whole on one device; who asks for it and has
another gets the highest that works.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from model_server.attention import IMPLEMENTATION, StepContext, register
from model_server.fused import TORCH, FusedDecoder, can_be_fused
from model_server.model import LoadedModel
from model_server.settings import FastPaths

# Tokens (T,), positions (T,), the step, tokens whose logits are wanted (K,) -> logits (K, V)
Forward = Callable[[Tensor, Tensor, StepContext, Tensor], Tensor]


class ModuleForward:
    """Call transformers' modules, whatever they are and wherever they lie."""

    def __init__(self, model: LoadedModel) -> None:
        """Take the model over: its attention is ours from here on."""
        register()
        self._module: Any = model.module
        self._module.set_attn_implementation(IMPLEMENTATION)

    def __call__(
        self, tokens: Tensor, positions: Tensor, step: StepContext, keep: Tensor
    ) -> Tensor:
        """Compute a step: (T,), (T,), (K,) -> (K, V)."""
        logits: Tensor = self._module(
            input_ids=tokens[None],
            position_ids=positions[None],
            use_cache=False,
            logits_to_keep=keep,
            step=step,
        ).logits[0]
        return logits


def make_forward(model: LoadedModel, asked: FastPaths) -> Forward:
    """Take the rung that was asked for, or the highest that works."""
    if asked is FastPaths.OFF or not can_be_fused(model.module):
        return ModuleForward(model)
    return FusedDecoder(model.module, TORCH, model.adapters)
