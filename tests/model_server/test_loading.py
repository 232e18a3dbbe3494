import itertools
import json
import socket
from pathlib import Path

import pytest
import torch
from model_presets.tiny import make_tiny
from model_server.compute.cache_size import BLOCK_SIZE, open_native_runner
from model_server.compute.checkpoint import BadCheckpoint
from model_server.compute.model import LoadedModel, load_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.model_server.tiny_models import Driver, mixtral, request


def ignore(_loaded: int, _total: int) -> None:
    pass


def load(folder: Path, dtype: str = "auto") -> LoadedModel:
    return load_model(folder, device="cpu", dtype=dtype, progress=ignore)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny(folder, steps=0)
    return folder


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    for path in tiny.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_the_model_is_the_one_that_transformers_loads(tiny: Path) -> None:
    model = load(tiny)
    other = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    ids = torch.arange(3, 43)[None]
    with torch.inference_mode():
        assert torch.equal(model.module(ids).logits, other(ids).logits)


def test_what_the_engine_must_know_is_read_from_the_folder(tiny: Path) -> None:
    config = json.loads((tiny / "config.json").read_text())
    model = load(tiny)
    assert model.vocabulary_size == config["vocab_size"]
    assert model.context_length == config["max_position_embeddings"]
    assert model.sliding_window == config["sliding_window"]
    assert model.eos_token_ids == frozenset({2})
    assert model.dtype == torch.float32
    assert not model.module.training
    assert model.kv_bytes_per_token == (
        2 * config["num_hidden_layers"] * config["num_key_value_heads"] * config["head_dim"] * 4
    )


def test_several_end_tokens_are_taken_from_the_generation_config(copy: Path) -> None:
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7]}))
    assert load(copy).eos_token_ids == frozenset({2, 7})


def test_progress_counts_every_byte_once_and_tensor_by_tensor(tiny: Path) -> None:
    seen: list[tuple[int, int]] = []
    load_model(tiny, device="cpu", dtype="auto", progress=lambda *now: seen.append(now))
    stored = sum(
        tensor.nbytes for path in tiny.glob("*.safetensors") for tensor in load_file(path).values()
    )
    loaded = [now for now, _ in seen]
    assert {total for _, total in seen} == {stored}
    assert loaded == sorted(loaded)
    assert (loaded[0], loaded[-1]) == (0, stored)
    assert len(set(loaded)) > 20
    assert max(b - a for a, b in itertools.pairwise(loaded)) < stored / 2


@pytest.mark.parametrize(
    ("dtype", "expected"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_the_dtype_is_the_one_asked_for(tiny: Path, dtype: str, expected: torch.dtype) -> None:
    model = load(tiny, dtype)
    assert model.dtype == expected
    assert {parameter.dtype for parameter in model.module.parameters()} == {expected}


def test_nothing_is_asked_of_a_network(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    load(tiny)


def test_no_hook_of_accelerate_stays_in_the_hot_path(tiny: Path) -> None:
    assert not any(hasattr(module, "_hf_hook") for module in load(tiny).module.modules())


def shards_with(folder: Path, name: str) -> Path:
    return next(path for path in folder.glob("*.safetensors") if name in load_file(path))


def test_a_missing_tensor_is_an_error_and_not_made_up(copy: Path) -> None:
    name = "model.norm.weight"
    path = shards_with(copy, name)
    tensors = load_file(path)
    del tensors[name]
    save_file(tensors, path, metadata={"format": "pt"})
    index = copy / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    del content["weight_map"][name]
    index.write_text(json.dumps(content))
    with pytest.raises(
        BadCheckpoint, match=r"1 tensors are missing, the first is model\.norm\.weight"
    ):
        load(copy)


def test_a_tensor_of_another_shape_is_an_error(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["intermediate_size"] *= 2
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadCheckpoint, match=r"12 tensors are mismatched, the first is model\.l"):
        load(copy)


def test_a_file_cut_short_is_named_before_anything_is_loaded(copy: Path) -> None:
    path = shards_with(copy, "model.norm.weight")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadCheckpoint, match=path.name):
        load(copy)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named_with_a_remedy(tiny: Path) -> None:
    with pytest.raises(BadCheckpoint, match=r"torch sees no GPU.*--device cpu"):
        load_model(tiny, device="cuda", dtype="auto", progress=ignore)


def test_a_mixture_of_experts_loads_as_well(tmp_path: Path) -> None:
    original = mixtral().module
    original.save_pretrained(tmp_path, max_shard_size="200KB")
    model = load(tmp_path)
    ids = torch.arange(3, 30)[None]
    with torch.inference_mode():
        assert torch.equal(model.module(ids).logits, original(ids).logits)


def test_a_loaded_model_serves(tiny: Path) -> None:
    runner = open_native_runner(load(tiny), max_model_len=256, max_sequences=4, max_batch_tokens=64)
    assert runner.block_count >= 256 // BLOCK_SIZE
    answers = Driver(runner).run([request("a", (1, 5, 9), 8), request("b", (1, 5, 9), 8)])
    assert answers["a"] == answers["b"]
    assert len(answers["a"]) == 8
