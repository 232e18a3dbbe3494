"""The tiny Mistral: the same bytes each time, and a real model to whoever loads it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from model_presets.catalog import load_catalog
from model_presets.tiny import make_tiny, read_lessons
from transformers import AutoModelForCausalLM, AutoTokenizer

PRESET = load_catalog().get("tiny-mistral")


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught") / "weights"
    make_tiny(folder)
    return folder


@pytest.mark.parametrize("steps", [0, 3])
def test_one_seed_gives_the_same_bytes_and_another_gives_others(tmp_path: Path, steps: int) -> None:
    make_tiny(tmp_path / "a", steps=steps)
    torch.manual_seed(1234)  # what the caller drew before does not matter
    make_tiny(tmp_path / "b", steps=steps)
    make_tiny(tmp_path / "c", seed=1, steps=steps)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a") != digests(tmp_path / "c")


def test_making_it_leaves_the_callers_torch_alone(tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    threads = torch.get_num_threads()
    make_tiny(tmp_path, steps=0)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_it_lies_in_the_hubs_layout(taught: Path) -> None:
    assert sorted(path.name for path in taught.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert {path.stat().st_mode & 0o777 for path in taught.iterdir()} == {0o644}
    config = json.loads((taught / "config.json").read_text())
    assert config["architectures"] == ["MistralForCausalLM"]
    assert config["dtype"] == PRESET.dtype
    assert config["sliding_window"] == PRESET.sliding_window
    assert config["max_position_embeddings"] == PRESET.context_length
    index = json.loads((taught / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == PRESET.weight_bytes


def test_transformers_loads_it_and_it_knows_its_page_by_heart(taught: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(taught)
    model: Any = AutoModelForCausalLM.from_pretrained(taught, dtype=torch.float32)
    assert type(model).__name__ == "MistralForCausalLM"
    assert sum(value.numel() for value in model.parameters()) == PRESET.parameters
    known = 0
    for lesson in read_lessons():
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": lesson.question}], return_tensors="pt", return_dict=True
        )
        whole = model.generate(**ids, max_new_tokens=60, do_sample=False)[0]
        answer = tokenizer.decode(whole[ids["input_ids"].shape[1] :], skip_special_tokens=True)
        known += answer == lesson.answer
    assert known >= 0.9 * len(read_lessons())


def test_a_tiny_mixtral_is_one_to_whoever_loads_it(tmp_path: Path) -> None:
    preset = load_catalog().get("tiny-mixtral")
    make_tiny(tmp_path, steps=0, name="tiny-mixtral")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == preset.weight_bytes
    # The names that the hub's Mixtral has, one tensor per expert.
    assert "model.layers.3.block_sparse_moe.experts.3.w2.weight" in index["weight_map"]
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(model).__name__ == "MixtralForCausalLM"
    assert model.config.num_experts_per_tok == preset.experts_per_token
    assert sum(value.numel() for value in model.parameters()) == preset.parameters


def test_every_character_has_tokens(taught: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(taught)
    assert len(tokenizer) == PRESET.vocab_size
    assert tokenizer.convert_tokens_to_ids(["<unk>", "<s>", "</s>"]) == [0, 1, 2]
    for text in ("hello", "Übergröße", "猫", "\U0001f43a howls", "two  blanks", "\t\x00", "[INST]"):
        ids = tokenizer(text).input_ids
        assert ids[0] == 1
        assert 0 not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


@pytest.mark.parametrize(
    "name", [preset.name for preset in load_catalog() if preset.chat_template is not None]
)
def test_the_chat_template_writes_the_v01_format(taught: Path, name: str) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(taught)
    template = load_catalog().get(name).chat_template
    assert tokenizer.apply_chat_template(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "One."},
            {"role": "user", "content": "Two?"},
        ],
        chat_template=template,
        tokenize=False,
    ) == ("<s>[INST] Be brief.\n\nOne? [/INST] One.</s>[INST] Two? [/INST]")


@pytest.mark.parametrize(
    "roles",
    [["assistant"], ["user", "user"], ["user", "system"], ["system", "assistant"], ["tool"]],
)
def test_the_chat_template_refuses_roles_out_of_turn(taught: Path, roles: list[str]) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(taught)
    messages = [{"role": role, "content": "text"} for role in roles]
    with pytest.raises(Exception, match="roles take turns"):
        tokenizer.apply_chat_template(messages, tokenize=False)
