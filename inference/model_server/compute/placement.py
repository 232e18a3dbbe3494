"""
Spread a model's layers over the GPUs of one node, without work per module.

accelerate decides which layer goes where and loads it there. The hooks that it leaves behind look
at every module at every call; they are taken off, and one of ours stands at each layer that is not
on the first device: it moves what comes from elsewhere, once per step. On one device nothing is
left at all.

    cuda:0   embedding, layers 0..15        hidden states cross once, and with them
    cuda:1   layers 16..31, norm, head      angles, positions and the step's context
"""

import importlib
from collections.abc import Mapping
from itertools import chain
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from model_server.compute.attention import StepContext


class Mover:
    """Move the inputs of modules to one device, the same input once per step."""

    def __init__(self, device: torch.device) -> None:
        """Start with nothing moved."""
        self._device = device
        self._moved: dict[int, tuple[object, object]] = {}  # the original is held, so ids stay true

    def move(self, value: Any) -> Any:  # noqa: ANN401 - whatever a module is called with
        """Return the value on the device; what is no tensor stays as it is."""
        if isinstance(value, tuple):
            return tuple(map(self.move, value))
        if not isinstance(value, Tensor | StepContext):
            return value
        if isinstance(value, Tensor) and value.device == self._device:
            return value
        held = self._moved.get(id(value))
        if held is None:
            where = self._device
            moved = value.on(where) if isinstance(value, StepContext) else value.to(where)
            held = self._moved[id(value)] = (value, moved)
        return held[1]

    def attach(self, module: nn.Module, *, is_first: bool) -> None:
        """Stand before a module; the first of a device begins a new step."""

        def before(
            _module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            if is_first:
                self._moved.clear()
            return self.move(inputs), {key: self.move(value) for key, value in named.items()}

        module.register_forward_pre_hook(before, with_kwargs=True)


def device_of(module: nn.Module) -> torch.device:
    """Return where a module's weights are, packed ones too."""
    return next(chain(module.parameters(), module.buffers())).device


def join(model: PreTrainedModel) -> None:
    """Let a model whose layers lie on several devices compute, without accelerate's hooks."""
    if any(hasattr(part, "_hf_hook") for part in model.modules()):
        # On one device nothing of accelerate is needed, and its import would cost the start.
        hooks = importlib.import_module("accelerate.hooks")
        hooks.remove_hook_from_submodules(model)
    base = model.base_model
    stages = [*cast("nn.ModuleList", base.layers), cast("nn.Module", base.norm), _head(model)]
    first = device_of(cast("nn.Module", base.embed_tokens))
    movers: dict[torch.device, Mover] = {}
    for module in stages:
        device = device_of(module)
        if device != first:
            is_first = device not in movers
            movers.setdefault(device, Mover(device)).attach(module, is_first=is_first)


def output_device(model: PreTrainedModel) -> torch.device:
    """Return where the logits come to lie."""
    return device_of(_head(model))


def off_gpu(device_map: Mapping[str, object]) -> list[str]:
    """Name the parts that accelerate found no GPU for."""
    return sorted(name for name, place in device_map.items() if place in ("cpu", "disk"))


def _head(model: PreTrainedModel) -> nn.Module:
    return cast("nn.Module", model.lm_head)
