"""The shape in each preset against the modules that transformers builds from it."""

import pytest
import torch
from model_presets.catalog import load_catalog
from model_presets.preset import Preset
from transformers import MistralConfig, MistralForCausalLM

CATALOG = load_catalog()


def config(preset: Preset) -> MistralConfig:
    return MistralConfig(
        vocab_size=preset.vocab_size,
        hidden_size=preset.hidden_size,
        intermediate_size=preset.intermediate_size,
        num_hidden_layers=preset.layers,
        num_attention_heads=preset.heads,
        num_key_value_heads=preset.kv_heads,
        head_dim=preset.head_dim,
        sliding_window=preset.sliding_window,
    )


@pytest.mark.parametrize("preset", list(CATALOG), ids=lambda preset: preset.name)
def test_parameters_and_bytes_are_those_of_the_modules(preset: Preset) -> None:
    with torch.device("meta"):
        model = MistralForCausalLM(config(preset))
    dtype: torch.dtype = getattr(torch, preset.dtype)
    parameters = sum(value.numel() for value in model.parameters())
    assert parameters == preset.parameters
    assert parameters * dtype.itemsize == preset.weight_bytes


@pytest.mark.parametrize("name", ["mistral-7b", "mistral-7b-instruct"])
def test_mistral_7b_has_the_shape_of_the_librarys_defaults(name: str) -> None:
    assert config(CATALOG.get(name)).to_dict() == MistralConfig().to_dict()
