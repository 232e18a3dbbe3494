"""
Say what one preset is, and refuse a file that says it wrongly.

A preset is the one place where a model's revision, size and shape are written down; the operator
plans GPUs and memory from it, the image build fetches weights by it, the server checks itself
against it. A typo here buys the wrong GPU, so a file is parsed into a frozen `Preset` at the door
and nothing behind that door checks again.

Imports the standard library only: both images carry this file.
"""

import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

BYTES_PER_VALUE = {"bfloat16": 2, "float16": 2, "float32": 4}

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_REVISION = re.compile(r"[0-9a-f]{40}")


class InvalidPreset(ValueError):
    """Name the file, the key, the value and the remedy of a preset that cannot be taken."""

    def __init__(self, origin: Path, key: str, value: object, remedy: str) -> None:
        """Keep the four parts, so that a caller can show them its own way."""
        super().__init__(f"{origin}: {key}: {value!r}: {remedy}")
        self.origin = origin
        self.key = key
        self.value = value
        self.remedy = remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """
    Describe one model: where it comes from, what shape it has, what it needs.

    Attributes:
        name: What a Workspace writes in `inference.preset.name`.
        aliases: Other names that mean the same model.
        family: Architecture of the model's code, e.g. `mistral`.
        task: What it does, in the hub's words, e.g. `text-generation`.
        repo: The hub's id, `owner/name`.
        revision: The hub's commit, 40 hexadecimal digits: the only copy in this project.
        seed: Where set, the model is not fetched: it is made on the spot from this seed, and
            `revision` is the seed written in 40 hexadecimal digits.
        license: SPDX identifier of the weights' licence.
        runtime: The library whose modules run it.
        dtype: Type of the weights on a GPU.
        parameters: Number of trained values.
        weight_bytes: Bytes of these values in `dtype`.
        disk_gib: Disk that a node needs for the image and the weights.
        gpu_count: GPUs of one node; 0 for a model that runs on a CPU.
        gpu_memory_gib: Memory of these GPUs in total, as their maker names it.
        layers: Decoder layers.
        hidden_size: Width of the residual stream.
        intermediate_size: Width inside the feed-forward part.
        heads: Query heads.
        kv_heads: Key and value heads (grouped-query attention).
        head_dim: Width of one head.
        experts: Feed-forward parts of a layer among which a router chooses; none for one part.
        experts_per_token: How many of them see one token; none for one part.
        vocab_size: Tokens.
        context_length: Longest prompt plus answer that the model was trained for, tokens.
        sliding_window: How far back a layer looks, tokens; none for the whole context.
        distributed: Whether it may be spread over several nodes.
        tunable: Whether a Workspace may fine-tune it (LoRA, QLoRA).
        chat_template: Jinja text that turns messages into a prompt; none for a base model.
        source: Where the facts above were taken from.
    """

    name: str
    aliases: tuple[str, ...]
    family: str
    task: str
    repo: str
    revision: str
    seed: int | None
    license: str
    runtime: str
    dtype: str
    parameters: int
    weight_bytes: int
    disk_gib: int
    gpu_count: int
    gpu_memory_gib: int
    layers: int
    hidden_size: int
    intermediate_size: int
    heads: int
    kv_heads: int
    head_dim: int
    experts: int | None
    experts_per_token: int | None
    vocab_size: int
    context_length: int
    sliding_window: int | None
    distributed: bool
    tunable: bool
    chat_template: str | None
    source: str

    @property
    def kv_bytes_per_token(self) -> int:
        """
        Return the bytes of keys and values that one token keeps, over all layers.

        Mistral 7B in BF16: 2 (keys, values) x 32 layers x 8 heads x 128 x 2 B = 131,072 B.
        """
        return 2 * self.layers * self.kv_heads * self.head_dim * BYTES_PER_VALUE[self.dtype]

    @property
    def names(self) -> tuple[str, ...]:
        """Return every name that means this preset: its own, the aliases, the hub id."""
        return (self.name, *self.aliases, self.repo)


def parse_preset(raw: object, origin: Path) -> Preset:
    """
    Turn the content of a YAML file into a `Preset`.

    Raises:
        InvalidPreset: for an unknown or missing key, a wrong type, or a value out of its range.
    """
    if not isinstance(raw, Mapping):
        raise InvalidPreset(origin, "(file)", raw, "write one mapping of keys to values")
    hints = get_type_hints(Preset)
    wanted = [field.name for field in fields(Preset)]
    for key in raw:
        if key not in wanted:
            known = ", ".join(sorted(wanted))
            raise InvalidPreset(origin, str(key), raw[key], f"unknown key; known are: {known}")
    values = {key: _typed(origin, key, raw, hints[key]) for key in wanted}
    preset = Preset(**values)
    for key, holds, remedy in _RULES:
        if not holds(preset):
            raise InvalidPreset(origin, key, getattr(preset, key), remedy)
    return preset


def _typed(origin: Path, key: str, raw: Mapping[Any, Any], hint: Any) -> Any:  # noqa: ANN401 - any field's value
    """Return the value of one key as its field wants it."""
    optional = isinstance(hint, types.UnionType)
    if key not in raw:
        if optional:
            return None
        raise InvalidPreset(origin, key, None, f"missing; add it ({_words(hint)})")
    value = raw[key]
    if optional:
        if value is None:
            return None
        hint = next(part for part in get_args(hint) if part is not types.NoneType)
    if get_origin(hint) is tuple:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
    elif type(value) is hint:  # not isinstance: True is an int
        return value
    raise InvalidPreset(origin, key, value, f"expected {_words(hint)}, got {type(value).__name__}")


def _words(hint: Any) -> str:  # noqa: ANN401 - any annotation
    if get_origin(hint) is tuple:
        return "a list of texts"
    return {
        str: "a text, in quotes where it is all digits",
        int: "a whole number",
        bool: "true or false",
    }[hint]


def _positive(key: str) -> tuple[str, Callable[[Preset], bool], str]:
    return key, lambda preset: getattr(preset, key) > 0, "must be above 0"


_RULES: tuple[tuple[str, Callable[[Preset], bool], str], ...] = (
    (
        "name",
        lambda p: _NAME.fullmatch(p.name) is not None,
        "use lower-case letters, digits, '-' and '.'",
    ),
    ("repo", lambda p: _REPO.fullmatch(p.repo) is not None, "write the hub's id, owner/name"),
    (
        "revision",
        lambda p: _REVISION.fullmatch(p.revision) is not None,
        "write the full commit, 40 lower-case hexadecimal digits: a branch or a short form moves",
    ),
    (
        "seed",
        lambda p: p.seed is None or p.revision == f"{p.seed:040x}",
        "for a model made from a seed, revision is the seed in 40 hexadecimal digits",
    ),
    (
        "dtype",
        lambda p: p.dtype in BYTES_PER_VALUE,
        f"use one of {', '.join(BYTES_PER_VALUE)}",
    ),
    *(
        _positive(key)
        for key in (
            "parameters",
            "disk_gib",
            "layers",
            "hidden_size",
            "intermediate_size",
            "heads",
            "kv_heads",
            "head_dim",
            "vocab_size",
            "context_length",
        )
    ),
    (
        "weight_bytes",
        lambda p: p.weight_bytes == p.parameters * BYTES_PER_VALUE[p.dtype],
        "must be parameters x bytes of the dtype",
    ),
    ("gpu_count", lambda p: p.gpu_count >= 0, "must be 0 (CPU) or above"),
    (
        "gpu_memory_gib",
        lambda p: (p.gpu_memory_gib > 0) == (p.gpu_count > 0) and p.gpu_memory_gib >= 0,
        "must be above 0 with GPUs, and 0 without",
    ),
    (
        "experts",
        lambda p: (p.experts is None) == (p.experts_per_token is None),
        "write experts and experts_per_token together, or neither",
    ),
    (
        "experts_per_token",
        lambda p: p.experts is None or 0 < (p.experts_per_token or 0) <= p.experts,
        "must lie between 1 and experts",
    ),
    ("kv_heads", lambda p: p.heads % p.kv_heads == 0, "must divide heads"),
    (
        "sliding_window",
        lambda p: p.sliding_window is None or 0 < p.sliding_window <= p.context_length,
        "must lie between 1 and context_length, or be null",
    ),
)
