"""
Read what a user tunes: the ConfigMap that `inference.config` names, key `inference_config.yaml`.

    server:                  our own keys: flags of the server, written without the dashes
      max-model-len: 8192
      max-sequences: 16
    vllm:                    KAITO's key: what our server knows too is taken, the rest is noted
      max-model-len: 8192

A typo must never pass as a wish that was heard: an unknown key is refused with its nearest
neighbour, and so is one of `vllm` that is nearly one that we take. What KAITO's users may have
there for vLLM itself has no effect and is said to have none.

Invariant: whatever the ConfigMap holds, the answer is an `InferenceConfig` or a `PlanError` that
names the ConfigMap, the key, the value and the remedy. Must not import the other files of `plan`
but the refusal.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml
from model_presets.preset import Preset

from workspace_operator.plan.refusal import PlanError

KEY = "inference_config.yaml"
OWN_SECTION = "server"
KAITO_SECTION = "vllm"
MAX_MODEL_LEN = "max-model-len"
DRAIN_SECONDS = "drain-seconds"

# Key -> the values that it takes. `max-model-len` ends at the model's own context.
RANGES: Mapping[str, range] = {
    MAX_MODEL_LEN: range(16, 2**31),
    "max-sequences": range(1, 1025),
    "max-queued": range(1, 100_001),
    DRAIN_SECONDS: range(3601),
    "first-token-seconds": range(1, 3601),
    "answer-seconds": range(1, 86_401),
}
MERGE_ADAPTERS = "merge-adapters"
# Keys that are true or false; false is the server's default.
SWITCHES = (MERGE_ADAPTERS,)
OWN_KEYS = (*RANGES, *SWITCHES)
# vLLM's flags that mean the same here. Source: vllm-project/vllm, vllm/engine/arg_utils.py.
SAME_IN_VLLM: Mapping[str, str] = {MAX_MODEL_LEN: MAX_MODEL_LEN, "max-num-seqs": "max-sequences"}
# Keys of KAITO's beside `vllm`. Source: kaito-project/kaito, charts/kaito/workspace, v0.12.0.
WITHOUT_EFFECT = ("max_probe_steps", "kv_cache_cpu_memory_utilization")

# A ConfigMap may hold 1 MiB; this is some hundred times what there is to say.
LONGEST_TEXT = 65_536
NEARLY_THE_SAME = 0.8
NEAR = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceConfig:
    """
    Hold what the user tunes; without a ConfigMap, nothing.

    Attributes:
        name: Name of the ConfigMap.
        values: Flags of the server by name, as whole numbers.
        origins: Where each of them stands, such as `server.max-model-len`.
        switches: Flags of the server that take no value.
        notes: What stands there and has no effect.
    """

    name: str = ""
    values: Mapping[str, int] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    switches: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def where(self, key: str) -> str:
        """Point at a value for a person: ConfigMap, key, place in it."""
        value = "true" if key in self.switches else self.values[key]
        return f"{_place(self.name)}, {self.origins[key]}: {value}"


def read_config(
    name: str, namespace: str, config_map: Mapping[str, Any] | None, preset: Preset
) -> InferenceConfig:
    """
    Read a ConfigMap as the API server gave it; None where there is none of that name.

    Raises:
        PlanError: It is missing, cannot be read, or holds what the server cannot do.
    """
    if config_map is None:
        raise PlanError(
            "ConfigMapNotFound",
            f"inference.config: ConfigMap {name!r} specified in 'config' not found in namespace "
            f"{namespace!r}; create it with the key {KEY}, or remove the field",
        )
    data = config_map.get("data") or {}
    if KEY not in data:
        has = ", ".join(sorted([*data, *(config_map.get("binaryData") or {})])[:5]) or "no key"
        raise PlanError(
            "ConfigMapKeyMissing",
            f"inference.config: ConfigMap {name} has no text under the key {KEY} (it has {has}); "
            f"rename the key to {KEY}",
        )
    return _Reader(name=name, preset=preset).read(str(data[KEY]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Read one text; every refusal starts with its place."""

    name: str
    preset: Preset

    def read(self, text: str) -> InferenceConfig:
        content = self._mapping(self._parsed(text), "the text")
        notes = [f"{key} has no effect here" for key in WITHOUT_EFFECT if key in content]
        values, origins, switches = {}, {}, set()
        for key in content:
            if key not in {OWN_SECTION, KAITO_SECTION, *WITHOUT_EFFECT}:
                self._refuse_section(key)
        for key, own, value in self._kaito(content, notes):
            values[own], origins[own] = value, f"{KAITO_SECTION}.{key}"
        for key, given in self._section(content, OWN_SECTION).items():
            place = f"{OWN_SECTION}.{key}"
            if key in SWITCHES:
                if self._switch(place, given):
                    switches.add(key)
            elif key in RANGES:
                values[key] = self._number(place, key, given)
            else:
                self._refuse_key(place, key, OWN_KEYS)
            origins[key] = place
        return InferenceConfig(
            name=self.name,
            values=values,
            origins=origins,
            switches=frozenset(switches),
            notes=tuple(f"{_place(self.name)}: {note}" for note in notes),
        )

    def _kaito(self, content: dict[str, Any], notes: list[str]) -> Iterator[tuple[str, str, int]]:
        idle = []
        for key, given in self._section(content, KAITO_SECTION).items():
            plain = key.replace("_", "-")  # vLLM takes either
            own = SAME_IN_VLLM.get(plain)
            if own is not None:
                yield key, own, self._number(f"{KAITO_SECTION}.{key}", own, given)
            elif difflib.get_close_matches(plain, SAME_IN_VLLM, 1, NEARLY_THE_SAME):
                self._refuse_key(f"{KAITO_SECTION}.{key}", plain, tuple(SAME_IN_VLLM))
            else:
                idle.append(f"{KAITO_SECTION}.{key}")
        if idle:
            notes.append(f"{', '.join(idle)} tune vLLM and have no effect here")

    def _parsed(self, text: str) -> object:
        if len(text) > LONGEST_TEXT:
            self._refuse(f"{len(text)} characters are too many; write at most {LONGEST_TEXT}")
        try:
            parsed: object = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            at = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            self._refuse(f"not YAML{at}: {error.problem or error.context}; correct it there")
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            self._refuse(f"not YAML: {' '.join(str(error).split())[:200]}; correct it")
        return parsed

    def _section(self, content: dict[str, Any], key: str) -> dict[str, Any]:
        return self._mapping(content.get(key), key)

    def _mapping(self, value: object, what: str) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._refuse(f"{what} is {_shown(value)}; write keys and values, such as {_example()}")
        return {key if isinstance(key, str) else _shown(key): each for key, each in value.items()}

    def _switch(self, place: str, given: object) -> bool:
        if not isinstance(given, bool):
            self._refuse(f"{place}: {_shown(given)}: write true or false without quotes")
        return given

    def _number(self, place: str, key: str, given: object) -> int:
        allowed = RANGES[key]
        if key == MAX_MODEL_LEN:
            allowed = range(allowed.start, self.preset.context_length + 1)
        span = f"{allowed.start} to {allowed.stop - 1}"
        if isinstance(given, bool) or not isinstance(given, int):
            kind = "must be an integer" if key == MAX_MODEL_LEN else "must be a whole number"
            self._refuse(f"{place}: {_shown(given)}: {kind}; write {span} without quotes")
        if given > allowed[-1] and key == MAX_MODEL_LEN:
            self._refuse(
                f"{place}: max-model-len {_shown(given)} exceeds model's maximum supported context "
                f"window {allowed[-1]}; write {span}"
            )
        if given not in allowed:
            self._refuse(f"{place}: {_shown(given)} is out of range; write {span}")
        return given

    def _refuse_section(self, key: str) -> NoReturn:
        plain = key.replace("_", "-")
        if plain in OWN_KEYS:
            self._refuse(f"{key}: unknown at this level; write it below {OWN_SECTION}:")
        self._refuse_key(key, key, (OWN_SECTION, KAITO_SECTION, *WITHOUT_EFFECT))

    def _refuse_key(self, place: str, key: str, known: tuple[str, ...]) -> NoReturn:
        near = difflib.get_close_matches(key.replace("_", "-"), known, 1, NEAR)
        hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"
        self._refuse(f"{place[:120]}: unknown key; {hint}")

    def _refuse(self, why: str) -> NoReturn:
        raise PlanError("ConfigInvalid", f"{_place(self.name)}: {why}")


def _place(name: str) -> str:
    return f"ConfigMap {name}, key {KEY}"


def _example() -> str:
    return f"{{{OWN_SECTION}: {{{MAX_MODEL_LEN}: 4096}}}}"


def _shown(value: object) -> str:
    """Return a value for a message; one that has parts may be huge when it is written out."""
    if isinstance(value, int) and abs(value) >= 10**18:
        return "a huge number"
    if isinstance(value, str | int | float):
        return repr(value)[:60]
    return f"a {type(value).__name__}"
