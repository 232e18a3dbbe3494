"""
Refuse a folder that cannot be the preset's model, whatever its name.

A lock file says of which repository and revision every byte is. A folder without one is believed,
but not that it is a model of another shape: under a preset's name, and behind its chat template, it
would answer something, and nobody would know that it is not the model.

Must not import torch: it compares numbers of config.json.
"""

from model_presets.preset import Preset

from model_server.compute.checkpoint import BadCheckpoint, Checkpoint

# Name in config.json, and of the preset's attribute. Those that a config leaves out are not
# compared: transformers then has a default of its own.
# Source: https://huggingface.co/docs/transformers/model_doc/mixtral (MixtralConfig), 2026-11.
SHAPE = {
    "model_type": "family",
    "num_hidden_layers": "layers",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "vocab_size": "vocab_size",
    "num_local_experts": "experts",
    "num_experts_per_tok": "experts_per_token",
}


def refuse_another_shape(checkpoint: Checkpoint, preset: Preset) -> None:
    """
    Compare the folder's config with the preset.

    Raises:
        BadCheckpoint: If they differ in a number; the sentence has the first such.
    """
    for name, attribute in SHAPE.items():
        has, wanted = checkpoint.config.get(name), getattr(preset, attribute)
        if has is not None and has != wanted:
            raise BadCheckpoint(
                f"{checkpoint.directory / 'config.json'} has {name} {has}, but preset "
                f"{preset.name} has {wanted}: this is another model, give the folder of "
                f"{preset.repo}, or leave --preset out"
            )
