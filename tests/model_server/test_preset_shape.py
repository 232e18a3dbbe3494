"""A folder is compared with its preset by the numbers of config.json; what it leaves out is not."""

from pathlib import Path
from typing import Any

import pytest
from model_presets.catalog import load_catalog
from model_presets.preset import Preset
from model_server.compute.checkpoint import BadCheckpoint, Checkpoint
from model_server.preset_shape import SHAPE, refuse_another_shape

CATALOG = load_catalog()
PRESETS = [CATALOG.get(name) for name in ("mistral-7b-instruct", "mixtral-8x7b", "tiny-mixtral")]


def folder(config: dict[str, Any]) -> Checkpoint:
    return Checkpoint(directory=Path("weights"), config=config, files=())


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_the_model_of_the_preset_passes(preset: Preset) -> None:
    whole = {name: getattr(preset, attribute) for name, attribute in SHAPE.items()}
    refuse_another_shape(folder(whole), preset)
    refuse_another_shape(folder({"model_type": preset.family}), preset)


@pytest.mark.parametrize("name", SHAPE)
def test_each_number_is_compared(name: str) -> None:
    preset = CATALOG.get("mixtral-8x7b")
    config = {name: getattr(preset, attribute) for name, attribute in SHAPE.items()}
    other = "mistral" if name == "model_type" else config[name] + 1
    with pytest.raises(BadCheckpoint, match=f"has {name} {other}, but preset mixtral-8x7b has"):
        refuse_another_shape(folder(config | {name: other}), preset)


def test_experts_do_not_pass_for_a_model_without() -> None:
    preset = CATALOG.get("mistral-7b")
    with pytest.raises(BadCheckpoint, match="has model_type mixtral, but preset mistral-7b"):
        refuse_another_shape(folder({"model_type": "mixtral", "num_local_experts": 8}), preset)
