"""
Random adapters on small random models, and what peft makes of them: the answers that must agree.

B is drawn too (peft begins with zeros), wide enough to change tokens at once.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from model_server.adapter_choice import AdapterChoice
from model_server.compute.adapter_files import AdapterCheckpoint, ServedBase, read_adapters
from model_server.compute.checkpoint import Checkpoint, read_checkpoint
from model_server.compute.lora import Adapters, merge
from model_server.compute.model import LoadedModel

from tests.model_server.tiny_models import generate


def save_base(model: LoadedModel, folder: Path) -> Checkpoint:
    """Write the base, since adapters are compared with the headers of its files."""
    module: Any = model.module
    module.save_pretrained(folder)
    return read_checkpoint(folder)


def make_adapter(model: LoadedModel, folder: Path, seed: int, **config: object) -> Path:
    """Let peft make an adapter of random numbers and save it."""
    import peft  # noqa: PLC0415 - it takes seconds, and most tests need none

    torch.manual_seed(seed)
    values: dict[str, Any] = {"r": 4, "lora_alpha": 6, "target_modules": "all-linear", **config}
    module: Any = copy.deepcopy(model.module)
    module.set_attn_implementation("eager")
    tuned = peft.get_peft_model(module, peft.LoraConfig(task_type="CAUSAL_LM", **values))
    with torch.no_grad():
        for name, tensor in tuned.named_parameters():
            if "lora_" in name:
                tensor.normal_(std=0.15)
    tuned.save_pretrained(str(folder))
    return folder


def change_config(folder: Path, **values: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def read(base: Checkpoint, *choices: AdapterChoice) -> tuple[AdapterCheckpoint, ...]:
    return read_adapters(choices, base, ServedBase())


def with_adapters(model: LoadedModel, adapters: Sequence[AdapterCheckpoint]) -> LoadedModel:
    """Hang adapters on a copy of the model."""
    module = copy.deepcopy(model.module)
    hung = Adapters(module, adapters, model.dtype, ignore)
    return replace(model, module=module, adapters=hung)


def merged(model: LoadedModel, adapters: Sequence[AdapterCheckpoint]) -> LoadedModel:
    module = copy.deepcopy(model.module)
    merge(module, adapters, ignore)
    return replace(model, module=module)


def ignore(_size: int) -> None:
    pass


def peft_model(model: LoadedModel, folder: Path, strength: float = 1.0) -> LoadedModel:
    """Load an adapter as peft does, and scale it as peft does."""
    import peft  # noqa: PLC0415 - as above
    from peft.tuners.lora.layer import LoraLayer  # noqa: PLC0415 - as above

    module: Any = copy.deepcopy(model.module)
    tuned: Any = peft.PeftModel.from_pretrained(module, str(folder))
    for layer in tuned.modules():
        if isinstance(layer, LoraLayer):
            layer.scale_layer(strength)
    return replace(model, module=tuned.eval())


def peft_answers(
    model: LoadedModel, prompts: Sequence[tuple[int, ...]], count: int
) -> list[list[int]]:
    """Continue with PeftModel.generate."""
    module: Any = model.module
    base = module.base_model.model if hasattr(module, "peft_config") else module
    base.set_attn_implementation("eager")
    proxy = replace(model, module=_WithoutSwitch(model.module))  # type: ignore[arg-type] # as it is called
    return [generate(proxy, prompt, count) for prompt in prompts]


class _WithoutSwitch:
    """Let `generate` of tiny_models call peft's, whose attention is set already."""

    def __init__(self, module: object) -> None:
        self._module: Any = module

    def set_attn_implementation(self, _name: str) -> None:
        pass

    def generate(self, ids: torch.Tensor, **arguments: object) -> torch.Tensor:
        answer: torch.Tensor = self._module.generate(input_ids=ids, **arguments)
        return answer
