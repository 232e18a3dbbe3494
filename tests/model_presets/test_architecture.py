"""The shape in each preset against the modules that transformers builds from it."""

from typing import Any

import pytest
import torch
from model_presets.catalog import load_catalog
from model_presets.preset import Preset
from transformers import (
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedConfig,
)

CATALOG = load_catalog()
MODELS: dict[str, Any] = {"mistral": MistralForCausalLM, "mixtral": MixtralForCausalLM}


def config(preset: Preset) -> PreTrainedConfig:
    shape: dict[str, Any] = {
        "vocab_size": preset.vocab_size,
        "hidden_size": preset.hidden_size,
        "intermediate_size": preset.intermediate_size,
        "num_hidden_layers": preset.layers,
        "num_attention_heads": preset.heads,
        "num_key_value_heads": preset.kv_heads,
        "head_dim": preset.head_dim,
        "sliding_window": preset.sliding_window,
    }
    if preset.family == "mistral":
        return MistralConfig(**shape)
    assert preset.family == "mixtral"
    experts: dict[str, Any] = {
        "num_local_experts": preset.experts,
        "num_experts_per_tok": preset.experts_per_token,
    }
    return MixtralConfig(**shape, **experts)


@pytest.mark.parametrize("preset", list(CATALOG), ids=lambda preset: preset.name)
def test_parameters_and_bytes_are_those_of_the_modules(preset: Preset) -> None:
    with torch.device("meta"):
        model = MODELS[preset.family](config(preset))
    dtype: torch.dtype = getattr(torch, preset.dtype)
    parameters = sum(value.numel() for value in model.parameters())
    assert parameters == preset.parameters
    assert parameters * dtype.itemsize == preset.weight_bytes


@pytest.mark.parametrize("name", ["mistral-7b", "mistral-7b-instruct"])
def test_mistral_7b_has_the_shape_of_the_librarys_defaults(name: str) -> None:
    assert config(CATALOG.get(name)).to_dict() == MistralConfig().to_dict()


def test_v02_differs_from_v01_by_window_and_context_alone() -> None:
    window = MistralConfig().sliding_window
    first, second = CATALOG.get("mistral-7b-instruct"), CATALOG.get("mistral-7b-instruct-v0.2")
    assert (first.sliding_window, first.context_length) == (window, 8192) == (4096, 8192)
    assert (second.sliding_window, second.context_length) == (None, 32768)
    changed = config(second).to_dict()
    assert {k for k, v in config(first).to_dict().items() if v != changed[k]} == {"sliding_window"}


@pytest.mark.parametrize("name", ["mixtral-8x7b", "mixtral-8x7b-instruct"])
def test_mixtral_has_the_shape_of_the_librarys_defaults(name: str) -> None:
    defaults = MixtralConfig().to_dict()
    built = config(CATALOG.get(name)).to_dict()
    assert {k: built[k] for k in built if built[k] != defaults[k]} == {"head_dim": 128}
    assert defaults["hidden_size"] // defaults["num_attention_heads"] == 128
