"""Of peft's many variants the one that is computed is read, every other is refused by its key."""

import math

import pytest
from model_server.compute.adapter_config import AdapterConfig, BadAdapter, parse_config

GOOD: dict[str, object] = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "r": 8,
    "lora_alpha": 16,
    "target_modules": ["q_proj", "v_proj"],
    "bias": "none",
    "lora_dropout": 0.1,
    "inference_mode": True,
    "modules_to_save": None,
    "base_model_name_or_path": "org/base",
    "revision": None,
}
LAYER = "model.layers.1.self_attn"


def config(**changes: object) -> AdapterConfig:
    return parse_config({**GOOD, **changes})


def test_targets_are_named_by_the_end_of_their_names() -> None:
    assert config().adapts(f"{LAYER}.q_proj")
    assert not config().adapts(f"{LAYER}.k_proj")
    assert not config(target_modules=["proj"]).adapts(f"{LAYER}.k_proj")
    assert config(target_modules=["1.self_attn.k_proj"]).adapts(f"{LAYER}.k_proj")
    assert not config(target_modules=["0.self_attn.k_proj"]).adapts(f"{LAYER}.k_proj")
    assert config(target_modules="All-Linear").adapts("anything")


def test_the_scale_follows_rank_alpha_and_their_patterns() -> None:
    q, k = f"{LAYER}.q_proj", f"{LAYER}.k_proj"
    assert config().scale_of(q) == 2
    assert config(use_rslora=True).scale_of(q) == 16 / math.sqrt(8)
    uneven = config(rank_pattern={"k_proj": 2}, alpha_pattern={"layers.1.self_attn.k_proj": 3})
    assert (uneven.rank_of(q), uneven.rank_of(k)) == (8, 2)
    assert (uneven.scale_of(q), uneven.scale_of(k)) == (2, 1.5)
    first = config(rank_pattern={"k_proj": 2, "self_attn.k_proj": 4})
    assert first.rank_of(k) == 2


@pytest.mark.parametrize("how", [True, False, None, "gaussian", "orthogonal"])
def test_how_a_training_began_is_no_matter_where_the_base_is_untouched(how: object) -> None:
    assert config(init_lora_weights=how).rank == 8


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"peft_type": "LOHA"}, "peft_type is 'LOHA': this server computes LORA"),
        ({"task_type": "SEQ_CLS"}, "task_type is 'SEQ_CLS'.*with task_type 'CAUSAL_LM'"),
        ({"use_dora": True}, "use_dora is True.*with use_dora null"),
        ({"bias": "all"}, "bias is 'all'.*with bias 'none'"),
        ({"lora_bias": True}, "lora_bias is True"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save is \['lm_head'\]"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
        ({"layers_to_transform": [0]}, "layers_to_transform"),
        ({"exclude_modules": ["q_proj"]}, "exclude_modules"),
        ({"target_parameters": ["mlp.experts"]}, "target_parameters"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"of_next_year": {"a": 1}}, "of_next_year is {'a': 1}: this server does not compute it"),
        ({"of_next_year": "x" * 500}, "x…: this"),
        ({"r": 0}, "r is 0"),
        ({"r": True}, "r is True"),
        ({"r": "8"}, "r is '8'"),
        ({"lora_alpha": None}, "lora_alpha is None"),
        ({"lora_alpha": math.inf}, "lora_alpha is inf"),
        ({"use_rslora": "yes"}, "use_rslora is 'yes'"),
        ({"target_modules": None}, "target_modules is None: list the modules"),
        ({"target_modules": ".*_proj"}, "target_modules is '.*_proj': list"),
        ({"target_modules": ["(a+)+"]}, "no patterns"),
        ({"target_modules": [3]}, "no patterns"),
        ({"rank_pattern": ["q_proj"]}, "rank_pattern"),
        ({"rank_pattern": {"^q": 2}}, r"rank_pattern is '\^q'"),
        ({"rank_pattern": {"q_proj": 2.5}}, "rank_pattern is 2.5"),
        ({"alpha_pattern": {"q_proj": "x"}}, "alpha_pattern is 'x'"),
        ({"base_model_name_or_path": 7}, "base_model_name_or_path is 7"),
    ],
)
def test_every_other_variant_is_refused_by_key_and_value(
    changes: dict[str, object], says: str
) -> None:
    with pytest.raises(BadAdapter, match=says):
        config(**changes)


@pytest.mark.parametrize("raw", [None, [], "x", 3])
def test_what_is_no_object_is_no_configuration(raw: object) -> None:
    with pytest.raises(BadAdapter, match="not a JSON object"):
        parse_config(raw)
