"""
Read a training_config.yaml, and refuse it by section, key, value and remedy before a GPU is bought.

The file has the sections that KAITO documents. A key that is only nearly right would be ignored by
a library, or fail after the weights have loaded, half an hour into a node that costs money: so the
sections and the rules between them are checked here, where the operator can do it too, and the keys
of each section by whoever has the libraries that define them (`known_keys`).

Source of the sections, their defaults and rules: kaito-project/kaito,
api/v1beta1/tuning_config_validation.go and charts/.../lora-params.yaml, qlora-params.yaml, v0.12.0.
Imports the standard library and PyYAML only: both halves carry this file.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml

CONFIG_KEY = "training_config.yaml"
ROOT = "training_config"
OUTPUT_ROOT = "/mnt"
SECTIONS = (
    "ModelConfig",
    "QuantizationConfig",
    "LoraConfig",
    "TrainingArguments",
    "DatasetConfig",
    "DataCollator",
)
Method = Literal["lora", "qlora"]

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "ModelConfig": {"torch_dtype": "bfloat16"},
    "QuantizationConfig": {
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_compute_dtype": "bfloat16",
        "bnb_4bit_use_double_quant": True,
    },
    "LoraConfig": {"r": 8, "lora_alpha": 8, "lora_dropout": 0.0},
    "TrainingArguments": {"per_device_train_batch_size": 1},
    "DatasetConfig": {"shuffle_dataset": True, "train_test_split": 1},
    "DataCollator": {},
}
DATASET_KEYS = frozenset(
    {
        "shuffle_dataset",
        "shuffle_seed",
        "messages_column",
        "context_column",
        "response_column",
        "text_column",
        "train_test_split",
    }
)
MODEL_KEYS = frozenset(
    {"torch_dtype", "dtype", "device_map", "local_files_only", "attn_implementation"}
)
COLLATOR_KEYS = frozenset({"mlm", "mlm_probability"})


class InvalidTraining(ValueError):
    """Name the section, the key, the value and the remedy of a configuration that cannot be run."""

    def __init__(self, where: str, value: object, remedy: str) -> None:
        """Keep the three parts for the caller's own message."""
        super().__init__(f"{where}: {value!r}: {remedy}")
        self.where = where
        self.value = value
        self.remedy = remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """
    Hold the sections with their defaults filled in.

    Attributes:
        method: lora or qlora.
        model: How the base model is loaded.
        quantization: bitsandbytes' settings; empty for lora.
        lora: peft's LoraConfig.
        arguments: The trainer's arguments.
        dataset: Which columns are read, shuffling, the share that is trained on.
        notes: What stands in the file and has no effect.
    """

    method: Method
    model: Mapping[str, Any]
    quantization: Mapping[str, Any]
    lora: Mapping[str, Any]
    arguments: Mapping[str, Any]
    dataset: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def read_method(text: str) -> Method:
    """
    Return the method that a Workspace names, in any letter case.

    Raises:
        InvalidTraining: for another one.
    """
    match text.lower():
        case "lora":
            return "lora"
        case "qlora":
            return "qlora"
        case _:
            raise InvalidTraining("tuning.method", text, "use lora or qlora")


def parse_training(
    text: str, method: Method, known_keys: Mapping[str, Iterable[str]] | None = None
) -> TrainingConfig:
    """
    Read the content of a training_config.yaml; empty text means all defaults.

    Args:
        text: The file.
        method: What the Workspace asks for; the quantization must agree.
        known_keys: Keys of the sections that a library defines, by section; none where it is not
            at hand, and these keys are then checked later.

    Raises:
        InvalidTraining: names the first fault.
    """
    given = _sections(text)
    known = {
        "ModelConfig": MODEL_KEYS,
        "DatasetConfig": DATASET_KEYS,
        "DataCollator": COLLATOR_KEYS,
        **{section: frozenset(keys) for section, keys in (known_keys or {}).items()},
    }
    for section, values in given.items():
        for key in values:
            _refuse_unknown(section, key, values[key], known.get(section))
    merged = {name: {**DEFAULTS[name], **given.get(name, {})} for name in SECTIONS}
    _check_quantization(merged["QuantizationConfig"], method)
    _check_output(merged["TrainingArguments"])
    _check_dataset(merged["DatasetConfig"])
    notes = []
    if merged["DataCollator"].get("mlm"):
        notes.append("DataCollator.mlm: a causal model has no masked words to guess; no effect")
    quantization = merged["QuantizationConfig"]
    if method == "qlora" and not quantization.get("load_in_8bit"):
        quantization["load_in_4bit"] = True
    return TrainingConfig(
        method=method,
        model=merged["ModelConfig"],
        quantization=quantization if method == "qlora" else {},
        lora=merged["LoraConfig"],
        arguments=merged["TrainingArguments"],
        dataset=merged["DatasetConfig"],
        notes=tuple(notes),
    )


def _sections(text: str) -> dict[str, dict[str, Any]]:
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidTraining(CONFIG_KEY, str(error), "mend the YAML") from error
    if raw is None:
        return {}
    body = raw.get(ROOT) if isinstance(raw, dict) else None
    if not isinstance(body, dict):
        raise InvalidTraining(CONFIG_KEY, raw, f"write one mapping below the key {ROOT}")
    for name, values in body.items():
        if name not in SECTIONS:
            raise InvalidTraining(
                f"{ROOT}.{name}", values, f"unrecognized section; {_nearest(name, SECTIONS)}"
            )
        if values is not None and not isinstance(values, dict):
            raise InvalidTraining(f"{ROOT}.{name}", values, "write a mapping of keys to values")
    return {name: dict(values or {}) for name, values in body.items()}


def _refuse_unknown(section: str, key: str, value: object, known: frozenset[str] | None) -> None:
    if known is not None and key not in known:
        raise InvalidTraining(f"{section}.{key}", value, f"unknown key; {_nearest(key, known)}")


def _nearest(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(str(word), names, n=2, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(names)}"


def _check_quantization(values: Mapping[str, Any], method: Method) -> None:
    for key in ("load_in_4bit", "load_in_8bit"):
        if not isinstance(values.get(key, False), bool):
            raise InvalidTraining(f"QuantizationConfig.{key}", values[key], "use true or false")
    four, eight = values.get("load_in_4bit", False), values.get("load_in_8bit", False)
    where = "QuantizationConfig.load_in_4bit"
    if four and eight:
        raise InvalidTraining(where, four, "not together with load_in_8bit; remove one of them")
    if method == "lora" and (four or eight):
        raise InvalidTraining(where, four, "method lora keeps whole weights; use method qlora")
    if method == "qlora" and "load_in_4bit" in values and not (four or eight):
        raise InvalidTraining(where, four, "method qlora needs load_in_4bit or load_in_8bit: true")


def _check_output(values: Mapping[str, Any]) -> None:
    folder = values.get("output_dir", OUTPUT_ROOT)
    if not isinstance(folder, str) or not f"{folder}/".startswith(f"{OUTPUT_ROOT}/"):
        raise InvalidTraining("TrainingArguments.output_dir", folder, "name a folder under /mnt")


def _check_dataset(values: Mapping[str, Any]) -> None:
    share = values["train_test_split"]
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise InvalidTraining(
            "DatasetConfig.train_test_split", share, "use a share above 0 and at most 1"
        )
    if ("context_column" in values) != ("response_column" in values):
        missing = "response_column" if "context_column" in values else "context_column"
        raise InvalidTraining(f"DatasetConfig.{missing}", None, "missing; name both columns")
