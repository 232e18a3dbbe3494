"""A training_config.yaml: sections, defaults, and what is refused before a GPU is bought."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from model_presets.tuning_config import (
    DEFAULTS,
    SECTIONS,
    InvalidTraining,
    Method,
    parse_training,
    read_method,
)

KNOWN = {
    "LoraConfig": ["r", "lora_alpha", "lora_dropout", "target_modules"],
    "TrainingArguments": ["output_dir", "learning_rate", "per_device_train_batch_size"],
    "QuantizationConfig": ["load_in_4bit", "load_in_8bit", "bnb_4bit_quant_type"],
}


def written(**sections: Any) -> str:  # noqa: ANN401 - any YAML
    return yaml.safe_dump({"training_config": sections})


@pytest.mark.parametrize("text", ["", "training_config: {}", written(LoraConfig=None)])
def test_nothing_said_means_kaitos_defaults(text: str) -> None:
    config = parse_training(text, "lora")
    assert config.lora == {"r": 8, "lora_alpha": 8, "lora_dropout": 0.0}
    assert config.arguments == {"per_device_train_batch_size": 1}
    assert config.quantization == {}
    assert config.dataset == DEFAULTS["DatasetConfig"]


def test_qlora_means_four_bits_of_nf4() -> None:
    assert parse_training("", "qlora").quantization == {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_compute_dtype": "bfloat16",
        "bnb_4bit_use_double_quant": True,
    }
    eight = parse_training(written(QuantizationConfig={"load_in_8bit": True}), "qlora")
    assert "load_in_4bit" not in eight.quantization


def test_what_is_said_wins_over_the_defaults() -> None:
    config = parse_training(
        written(LoraConfig={"r": 16}, TrainingArguments={"max_steps": 5}), "lora"
    )
    assert config.lora["r"] == 16
    assert config.lora["lora_alpha"] == 8
    assert config.arguments["max_steps"] == 5
    assert DEFAULTS["LoraConfig"]["r"] == 8


def test_kaitos_own_template_is_taken_and_its_mask_is_noted() -> None:
    config = parse_training(
        written(
            ModelConfig={"torch_dtype": "bfloat16", "local_files_only": True, "device_map": "auto"},
            QuantizationConfig={"load_in_4bit": False},
            LoraConfig={"r": 8, "lora_alpha": 8, "lora_dropout": 0.0},
            TrainingArguments={
                "output_dir": "/mnt/results",
                "ddp_find_unused_parameters": False,
                "save_strategy": "epoch",
                "per_device_train_batch_size": 1,
            },
            DataCollator={"mlm": True},
            DatasetConfig={"shuffle_dataset": True, "train_test_split": 1},
        ),
        "lora",
    )
    assert config.notes == (
        "DataCollator.mlm: a causal model has no masked words to guess; no effect",
    )


@pytest.mark.parametrize(("text", "method"), [("lora", "lora"), ("QLoRA", "qlora")])
def test_a_method_is_known_in_any_case(text: str, method: str) -> None:
    assert read_method(text) == method


@pytest.mark.parametrize(
    ("text", "method", "where", "words"),
    [
        ("a: [", "lora", "training_config.yaml", "mend the YAML"),
        ("- 1", "lora", "training_config.yaml", "one mapping"),
        ("training_config: 3", "lora", "training_config.yaml", "one mapping"),
        (written(LoraConfg={}), "lora", "training_config.LoraConfg", "did you mean LoraConfig"),
        (written(Zzz={}), "lora", "training_config.Zzz", "known are DataCollator"),
        (written(LoraConfig=[1]), "lora", "training_config.LoraConfig", "a mapping"),
        (written(LoraConfig={"lora_alfa": 1}), "lora", "LoraConfig.lora_alfa", "mean lora_alpha"),
        (written(DatasetConfig={"colum": 1}), "lora", "DatasetConfig.colum", "unknown key"),
        (written(ModelConfig={"trust_remote_code": True}), "lora", "ModelConfig.trust", "unknown"),
        (
            written(QuantizationConfig={"load_in_4bit": "yes"}),
            "qlora",
            "QuantizationConfig.load_in_4bit",
            "true or false",
        ),
        (
            written(QuantizationConfig={"load_in_4bit": True, "load_in_8bit": True}),
            "qlora",
            "QuantizationConfig.load_in_4bit",
            "remove one",
        ),
        (
            written(QuantizationConfig={"load_in_4bit": True}),
            "lora",
            "QuantizationConfig.load_in_4bit",
            "use method qlora",
        ),
        (
            written(QuantizationConfig={"load_in_4bit": False}),
            "qlora",
            "QuantizationConfig.load_in_4bit",
            "needs load_in_4bit",
        ),
        (
            written(TrainingArguments={"output_dir": "/etc"}),
            "lora",
            "TrainingArguments.output_dir",
            "under /mnt",
        ),
        (
            written(TrainingArguments={"output_dir": "/mnt2"}),
            "lora",
            "TrainingArguments.output_dir",
            "under /mnt",
        ),
        (
            written(DatasetConfig={"train_test_split": 0}),
            "lora",
            "DatasetConfig.train_test_split",
            "above 0",
        ),
        (
            written(DatasetConfig={"context_column": "q"}),
            "lora",
            "DatasetConfig.response_column",
            "name both",
        ),
    ],
)
def test_a_fault_is_named_with_place_and_remedy(
    text: str, method: Method, where: str, words: str
) -> None:
    with pytest.raises(InvalidTraining) as caught:
        parse_training(text, method, KNOWN)
    assert caught.value.where.startswith(where)
    assert words in caught.value.remedy


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(InvalidTraining, match="use lora or qlora"):
        read_method("full")


def test_keys_that_only_a_library_knows_are_left_to_it() -> None:
    assert parse_training(written(LoraConfig={"lora_alfa": 1}), "lora").lora["lora_alfa"] == 1


@given(st.text(), st.sampled_from(["lora", "qlora"]))
def test_any_text_is_read_or_refused(text: str, method: Method) -> None:
    try:
        config = parse_training(text, method)
    except InvalidTraining as fault:
        assert fault.remedy  # noqa: PT017 - either outcome is right
    else:
        assert config.method == method


@given(
    st.dictionaries(st.sampled_from(SECTIONS), st.dictionaries(st.text(), st.integers())),
)
def test_any_sections_are_read_or_refused(sections: dict[str, Any]) -> None:
    try:
        parse_training(written(**sections), "lora", KNOWN)
    except InvalidTraining as fault:
        assert fault.remedy  # noqa: PT017 - the same
