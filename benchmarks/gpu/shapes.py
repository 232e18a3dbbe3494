"""
Make a model of the exact shape with random weights on the device, without a network or a file.

The weights are drawn with the spread of an untrained model (0.02): what is measured does not depend
on what they say, and roundings are those of a real model, not of zeros.
"""

from pathlib import Path
from typing import Any

import torch
from model_presets.tiny import make_tiny
from model_server.compute.model import LoadedModel
from transformers import MistralConfig, MistralForCausalLM

# Source: config.json of mistralai/Mistral-7B-Instruct-v0.1, 2023-12.
SHAPES: dict[str, dict[str, Any]] = {
    "mistral-7b": {
        "vocab_size": 32_000,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 32_768,
        "sliding_window": 4096,
        "rms_norm_eps": 1e-5,
    },
    "tiny": {
        "vocab_size": 32_000,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 2048,
        "sliding_window": 128,
        "rms_norm_eps": 1e-5,
    },
}
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def make_model(shape: str, device: str, dtype: torch.dtype) -> LoadedModel:
    """Draw the weights where they are to lie."""
    torch.manual_seed(0)
    config = MistralConfig(
        **SHAPES[shape], initializer_range=0.02, bos_token_id=1, eos_token_id=None, dtype=dtype
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            module = MistralForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    torch.nn.Module.train(module, mode=False)
    return LoadedModel(
        module=module,
        device=torch.device(device),
        dtype=dtype,
        vocabulary_size=config.vocab_size,
        context_length=config.max_position_embeddings,
        sliding_window=config.sliding_window,
        eos_token_ids=frozenset(),
        weight_bytes=weight_bytes(module),
    )


def weight_bytes(module: torch.nn.Module) -> int:
    """Count what the weights take."""
    return sum(parameter.nbytes for parameter in module.parameters())


def streamed_bytes(model: LoadedModel) -> int:
    """Count what a step of one token reads: all weights, but one row of the embedding."""
    embedding = model.module.get_input_embeddings()
    return weight_bytes(model.module) - weight_bytes(embedding)


def write_checkpoint(model: LoadedModel, folder: Path) -> None:
    """Write a folder that a server can start from, with tiny-mistral's tokenizer."""
    make_tiny(folder / "tokenizer", steps=0)
    model.module.save_pretrained(folder)
    for part in TOKENIZER:
        (folder / part).write_bytes((folder / "tokenizer" / part).read_bytes())
