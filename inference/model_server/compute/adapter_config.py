"""
Read peft's adapter_config.json, and refuse what this server would not compute as peft does.

A LoRA adapter adds `scale * B A x` to what a linear layer makes of x. Peft has dozens of variants
of that, each switched on by a key of this file; an adapter of a variant that is not built here
would load without a word and answer wrongly. So every key is of one of three kinds: read (rank,
alpha, targets, patterns, base), without effect after the training (`lora_dropout`), or to be at the
value that changes nothing. A key that peft invents later is of the third kind too.

Source: peft 0.21.2, `LoraConfig`, and `get_pattern_key` for the patterns.

Pure. Must not import torch, peft or transformers.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

MAX_VALUE_CHARACTERS = 60  # of a value in a message
ALL_LINEAR = "all-linear"
PLAIN_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")

# What these say is over when the adapter has been trained, or was for people.
WITHOUT_EFFECT = frozenset(
    {
        "auto_mapping",
        "peft_version",
        "inference_mode",
        "lora_dropout",
        "loftq_config",
        "eva_config",
        "lora_ga_config",
        "megatron_core",
        "qalora_group_size",
        "layers_pattern",  # without layers_to_transform
        "ensure_weight_tying",  # without modules_to_save
    }
)
READ = frozenset(
    {
        "peft_type",
        "r",
        "lora_alpha",
        "use_rslora",
        "target_modules",
        "rank_pattern",
        "alpha_pattern",
        "base_model_name_or_path",
        "revision",
    }
)
# Keys whose harmless values are more than null, false and empty. Of the ways to begin a training,
# pissa, olora, corda, lora_ga and loftq change the base's weights: the served ones are not those.
HARMLESS: Mapping[str, tuple[object, ...]] = {
    "task_type": ("CAUSAL_LM",),
    "bias": ("none",),
    "init_lora_weights": (True, "gaussian", "orthogonal", "eva"),
    "megatron_config": (),
}


class BadAdapter(Exception):
    """Report in one sentence which adapter cannot be served, why, and what helps."""


class Unusable(BadAdapter):
    """Report a key of the configuration; whoever knows the adapter's name adds it."""

    def __init__(self, key: str, value: object, remedy: str) -> None:
        """Write the sentence."""
        shown = repr(value)
        if len(shown) > MAX_VALUE_CHARACTERS:
            shown = f"{shown[:MAX_VALUE_CHARACTERS]}…"
        super().__init__(f"{key} is {shown}: {remedy}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig:
    """Hold what is computed with, and what it was trained on."""

    rank: int
    alpha: float
    uses_rslora: bool
    targets: tuple[str, ...] | None  # None: every linear layer
    ranks: Mapping[str, int]  # by the end of a module's name, the first that fits
    alphas: Mapping[str, float]
    base: str | None
    revision: str | None

    def adapts(self, module: str) -> bool:
        """Tell whether a linear layer, by its full name, is one of the targets."""
        return self.targets is None or any(_ends(module, target) for target in self.targets)

    def rank_of(self, module: str) -> int:
        """Return the rank of A and B at a module."""
        return _of_pattern(self.ranks, module, self.rank)

    def scale_of(self, module: str) -> float:
        """Return the factor of `B A x` at a module."""
        rank, alpha = self.rank_of(module), _of_pattern(self.alphas, module, self.alpha)
        return alpha / math.sqrt(rank) if self.uses_rslora else alpha / rank


def parse_config(raw: object) -> AdapterConfig:
    """
    Read the content of adapter_config.json.

    Raises:
        Unusable: with the key, its value and what helps.
        BadAdapter: If it is no JSON object.
    """
    if not isinstance(raw, dict):
        raise BadAdapter("adapter_config.json is not a JSON object: copy the adapter again")
    if raw.get("peft_type") != "LORA":
        raise Unusable("peft_type", raw.get("peft_type"), "this server computes LORA adapters only")
    for key, value in raw.items():
        _refuse_variant(str(key), value)
    return AdapterConfig(
        rank=_rank("r", raw.get("r")),
        alpha=_number("lora_alpha", raw.get("lora_alpha")),
        uses_rslora=_flag("use_rslora", raw.get("use_rslora")),
        targets=_targets(raw.get("target_modules")),
        ranks={key: _rank("rank_pattern", v) for key, v in _pattern(raw, "rank_pattern").items()},
        alphas={
            key: _number("alpha_pattern", v) for key, v in _pattern(raw, "alpha_pattern").items()
        },
        base=_text("base_model_name_or_path", raw.get("base_model_name_or_path")),
        revision=_text("revision", raw.get("revision")),
    )


def _refuse_variant(key: str, value: object) -> None:
    if key in READ or key in WITHOUT_EFFECT or not value:
        return
    if key in HARMLESS and value in HARMLESS[key]:
        return
    wanted = " or ".join(repr(v) for v in HARMLESS.get(key, ())) or "null"
    raise Unusable(
        key, value, f"this server does not compute it, train the adapter with {key} {wanted}"
    )


def _rank(key: str, value: object) -> int:
    if type(value) is not int or value < 1:
        raise Unusable(key, value, "must be a whole number from 1 up, copy the adapter again")
    return value


def _number(key: str, value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(float(str(value))):
        raise Unusable(key, value, "must be a finite number, copy the adapter again")
    return float(str(value))


def _flag(key: str, value: object) -> bool:
    if value not in (None, False, True):
        raise Unusable(key, value, "must be true or false, copy the adapter again")
    return bool(value)


def _text(key: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise Unusable(key, value, "must be a text or null, copy the adapter again")
    return value or None


def _targets(value: object) -> tuple[str, ...] | None:
    if isinstance(value, str) and value.lower() == ALL_LINEAR:
        return None
    if not isinstance(value, list) or not value:
        raise Unusable("target_modules", value, f"list the modules' names, or write {ALL_LINEAR!r}")
    return tuple(_name("target_modules", name) for name in value)


def _pattern(raw: Mapping[str, Any], key: str) -> dict[str, object]:
    value = raw.get(key) or {}
    if not isinstance(value, dict):
        raise Unusable(key, value, "must be an object of module names, copy the adapter again")
    return {_name(key, name): entry for name, entry in value.items()}


def _name(key: str, name: object) -> str:
    """Take names only: peft reads regular expressions here, which are code of a kind."""
    if not isinstance(name, str) or not PLAIN_NAME.fullmatch(name):
        raise Unusable(key, name, "write modules' names such as q_proj, no patterns")
    return name


Value = TypeVar("Value", int, float)


def _of_pattern(pattern: Mapping[str, Value], module: str, otherwise: Value) -> Value:
    return next((v for name, v in pattern.items() if _ends(module, name)), otherwise)


def _ends(module: str, name: str) -> bool:
    """Tell whether a module has this name: whole, or as the last parts of its own."""
    return module == name or module.endswith(f".{name}")
