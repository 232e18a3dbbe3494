"""A start that cannot be says so in one sentence; one that can knows its names and its weights."""

from dataclasses import replace
from pathlib import Path

import pytest
from model_presets.catalog import load_catalog
from model_presets.lock import LOCK_NAME, make_lock, write_lock
from model_server.api.lifecycle import Lifecycle
from model_server.api.service import ServedModel
from model_server.settings import BadStart, Settings
from model_server.startup import find_preset, identity_of, load, names_of

pytestmark = pytest.mark.timeout(240)  # the first test that loads a model imports torch


def start(settings: Settings) -> ServedModel:
    preset = find_preset(settings)
    return load(settings, preset, Lifecycle(identity_of(names_of(settings, preset))))


def copy_without_lock(weights: Path, folder: Path) -> None:
    for file in weights.iterdir():
        if file.name != LOCK_NAME:
            (folder / file.name).write_bytes(file.read_bytes())


def test_weights_that_are_not_the_locked_ones_are_refused(
    tiny_weights: Path, tmp_path: Path
) -> None:
    for file in tiny_weights.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    shard = next(tmp_path.glob("*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(BadStart, match=shard.name):
        start(Settings(model=tmp_path, preset="tiny-mistral", device="cpu"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"max_model_len": 5_000}, "--max-model-len: must be 1 to 1024"),
        ({"model": Path("/no/such/folder")}, "/no/such/folder"),
        ({"preset": "mistral-7b-instruct"}, "pins mistralai/Mistral-7B-Instruct-v0.1"),
        ({"preset": "mistral-7b-instrukt"}, "did you mean mistral-7b-instruct"),
    ],
)
def test_a_start_that_cannot_be_says_why(
    tiny_weights: Path, change: dict[str, object], says: str
) -> None:
    settings = Settings(model=tiny_weights, preset="tiny-mistral", device="cpu")
    with pytest.raises(BadStart, match=says):
        start(replace(settings, **change))  # type: ignore[arg-type] # one field of the table


def test_a_start_that_can_be_attests_its_weights(tiny_weights: Path) -> None:
    settings = Settings(model=tiny_weights, preset="tiny-mistral", device="cpu", max_model_len=64)
    preset = find_preset(settings)
    lifecycle = Lifecycle(identity_of(names_of(settings, preset)))
    served = load(settings, preset, lifecycle)
    now = lifecycle.now()
    assert now.bytes_loaded == now.bytes_total > 0
    assert (now.model.revision, str(now.model.digest)[:7]) == ("0" * 40, "sha256:")
    assert served.engine.longest_request == 64


def test_a_lock_that_attests_the_preset_is_believed_before_its_numbers(
    tiny_weights: Path, tmp_path: Path
) -> None:
    preset = load_catalog().get("mistral-7b-instruct")
    copy_without_lock(tiny_weights, tmp_path)
    write_lock(tmp_path, make_lock(tmp_path, preset))
    settings = Settings(model=tmp_path, preset=preset.name, device="cpu", max_model_len=64)
    lifecycle = Lifecycle(identity_of(names_of(settings, preset)))
    load(settings, preset, lifecycle)
    assert lifecycle.now().model.revision == preset.revision


def test_of_a_folder_without_a_lock_no_revision_is_claimed(
    tiny_weights: Path, tmp_path: Path
) -> None:
    copy_without_lock(tiny_weights, tmp_path)
    settings = Settings(model=tmp_path, preset="tiny-mistral", device="cpu", max_model_len=64)
    preset = find_preset(settings)
    lifecycle = Lifecycle(identity_of(names_of(settings, preset)))
    load(settings, preset, lifecycle)
    model = lifecycle.now().model
    assert (model.name, model.revision, model.digest) == ("tiny-mistral", None, None)


def test_a_folder_without_a_lock_must_have_the_shape_of_the_preset(
    tiny_weights: Path, tmp_path: Path
) -> None:
    copy_without_lock(tiny_weights, tmp_path)
    settings = Settings(model=tmp_path, preset="mistral-7b-instruct", device="cpu")
    says = "num_hidden_layers 4, but preset mistral-7b-instruct has 32: this is another model"
    with pytest.raises(BadStart, match=says):
        start(settings)


def test_a_folder_without_a_lock_is_refused_where_one_is_required(
    tiny_weights: Path, tmp_path: Path
) -> None:
    copy_without_lock(tiny_weights, tmp_path)
    settings = Settings(model=tmp_path, preset="tiny-mistral", device="cpu", require_lock=True)
    with pytest.raises(BadStart, match=f"{LOCK_NAME}: missing; write it with"):
        start(settings)


def test_names_come_from_flags_else_the_preset_else_the_folder(tmp_path: Path) -> None:
    settings = Settings(model=tmp_path / "my-model")
    preset = load_catalog().get("tiny-mistral")
    given = replace(settings, served_model_names=("a", "b"))
    assert names_of(given, preset).names == ("a", "b")
    assert names_of(settings, preset).names == ("tiny-mistral", "atelier/tiny-mistral")
    assert names_of(settings, None).names == ("my-model",)
    assert names_of(Settings(model=Path("/")), None).names == ("model",)
