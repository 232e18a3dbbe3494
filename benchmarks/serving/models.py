"""
Make the models on the spot: random weights of two shapes, float32, with tiny-mistral's tokenizer.

Neither has a token that ends an answer, so every engine computes exactly as many as asked; and only
tokens that are whole words or letters can be drawn, so that each shows in a stream when it comes.
"""

import json
from pathlib import Path
from typing import Any

from model_presets.tiny import make_tiny

# 229 million parameters; no window.
MID: dict[str, Any] = {
    "vocab_size": 32_000,
    "hidden_size": 1024,
    "intermediate_size": 3584,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "max_position_embeddings": 4096,
    "sliding_window": None,
    "bos_token_id": 1,
}
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
# Of the tokenizer: control tokens and bytes come first, then words; an answer has only words.
FIRST_WORD, AFTER_LAST_WORD = 259, 768
TINY_DEVIATION, MID_DEVIATION = 0.15, 0.05  # so that answers vary from token to token


def make_models(folder: Path, names: list[str]) -> dict[str, Path]:
    """Write the models that are not there yet; the tiny one always, for its tokenizer."""
    places = {name: folder / name for name in dict.fromkeys(["tiny", *names])}
    for name, place in places.items():
        if not (place / "made").exists():
            _make(name, place, folder / "tiny")
            (place / "made").touch()
    return places


def _make(name: str, folder: Path, tiny: Path) -> None:
    if name == "tiny":
        make_tiny(folder, steps=0)
        for path in folder.glob("*.safetensors*"):
            path.unlink()
        shape = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        _write(shape | {"initializer_range": TINY_DEVIATION}, folder)
        return
    folder.mkdir(parents=True, exist_ok=True)
    _write(MID | {"initializer_range": MID_DEVIATION}, folder)
    for part in TOKENIZER:
        (folder / part).write_bytes((tiny / part).read_bytes())


def _write(shape: dict[str, Any], folder: Path) -> None:
    import torch  # noqa: PLC0415 - seconds
    from transformers import MistralConfig, MistralForCausalLM  # noqa: PLC0415 - seconds

    torch.manual_seed(0)
    config = MistralConfig(**(shape | {"dtype": "float32", "eos_token_id": None}))
    model = MistralForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[:FIRST_WORD] = 0
        model.lm_head.weight[AFTER_LAST_WORD:] = 0
    model.save_pretrained(folder)
