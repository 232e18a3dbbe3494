"""A raw checkpoint, converted: the same logits, the same token ids, nothing taken on trust."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from model_presets.__main__ import main
from model_presets.consolidated import convert_consolidated, read_shape
from model_presets.lock import WrongWeights
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.model_presets.raw_mistral import (
    MOE,
    PARAMS,
    VOCABULARY,
    logits,
    random_state,
    write_raw,
)

IDS = torch.tensor([1, 733, 16289, 28793, 22557, 526, 733, 28748])
KINDS = {"mistral": PARAMS, "mixtral": {**PARAMS, "moe": MOE}}


@pytest.mark.parametrize("kind", KINDS)
def test_the_logits_are_those_of_the_source(tmp_path: Path, kind: str) -> None:
    params = KINDS[kind]
    state = random_state(params)
    source = write_raw(tmp_path / "raw", params, state)
    written = convert_consolidated(source, tmp_path / "hub")
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer.model"} <= set(written)

    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "hub", dtype=torch.float32)
    assert model.config.model_type == kind
    with torch.no_grad():
        found = model(IDS[None]).logits[0]
    torch.testing.assert_close(found, logits(params, state, IDS), rtol=1e-4, atol=1e-4)


def test_the_weights_keep_their_type_and_every_bit(tmp_path: Path) -> None:
    state = {name: value.to(torch.bfloat16) for name, value in random_state(PARAMS).items()}
    source = write_raw(tmp_path / "raw", PARAMS, state)
    (source / "consolidated.00.pth").unlink()
    save_file(state, source / "consolidated.safetensors")
    convert_consolidated(source, tmp_path / "hub")
    assert json.loads((tmp_path / "hub" / "config.json").read_text())["dtype"] == "bfloat16"
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "hub", dtype="auto")
    assert model.dtype == torch.bfloat16
    assert torch.equal(model.lm_head.weight, state["output.weight"])
    rows = model.model.layers[1].self_attn.k_proj.weight
    assert torch.equal(rows.sort(0).values, state["layers.1.attention.wk.weight"].sort(0).values)


def test_the_tokens_are_those_of_the_source(tmp_path: Path) -> None:
    convert_consolidated(write_raw(tmp_path / "raw", PARAMS, random_state(PARAMS)), tmp_path)
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path)
    reference: Any = MistralTokenizer.from_file(str(VOCABULARY)).instruct_tokenizer.tokenizer
    for text in ("Hello  world", "Übergröße 猫 \U0001f43a", "x = [1, 2]\n\treturn x"):
        assert tokenizer(text).input_ids == reference.encode(text, bos=True, eos=False)


@pytest.mark.parametrize(
    ("window", "theta", "expected"),
    [(4096, None, 1e4), (None, None, 1e6), (None, 5e5, 5e5)],
)
def test_the_rotary_base_follows_the_window_where_it_is_not_said(
    tmp_path: Path, window: int | None, theta: float | None, expected: float
) -> None:
    path = tmp_path / "params.json"
    path.write_text(json.dumps({**PARAMS, "sliding_window": window, "rope_theta": theta}))
    assert read_shape(path).rope_theta == expected
    assert read_shape(path).sliding_window == window


@pytest.mark.parametrize(
    ("spoil", "name", "words"),
    [
        (lambda raw: (raw / "params.json").unlink(), "params.json", "missing"),
        (lambda raw: (raw / "tokenizer.model").unlink(), "tokenizer.model", "missing"),
        (lambda raw: (raw / "params.json").write_text("{}"), "params.json", "has no"),
        (lambda raw: (raw / "params.json").write_text("[]"), "params.json", "not Mistral's"),
        (lambda raw: (raw / "tokenizer.model").write_bytes(b"x"), "tokenizer.model", "no Sentence"),
        (lambda raw: (raw / "consolidated.00.pth").unlink(), "raw", "holds no consolidated"),
        (
            lambda raw: (raw / "consolidated.00.pth").write_bytes(b"pickle"),
            "consolidated.00.pth",
            "more or less than tensors",
        ),
        (
            lambda raw: torch.save({"vision.weight": torch.ones(1)}, raw / "consolidated.00.pth"),
            "consolidated.00.pth",
            "which no Mistral",
        ),
        (
            lambda raw: torch.save({"norm.weight": torch.ones(1)}, raw / "consolidated.01.pth"),
            "consolidated.01.pth",
            "several GPUs",
        ),
    ],
)
def test_what_is_no_raw_checkpoint_is_named(
    tmp_path: Path,
    spoil: Callable[[Path], object],
    name: str,
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = write_raw(tmp_path / "raw", PARAMS, random_state(PARAMS))
    spoil(source)
    with pytest.raises(WrongWeights, match=words) as caught:
        convert_consolidated(source, tmp_path / "hub")
    assert caught.value.path.name == name
    assert main(["convert", str(source), str(tmp_path / "again")]) == 1
    assert words in capsys.readouterr().err
