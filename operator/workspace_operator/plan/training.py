"""
Decide what a tuning gets: its configuration, its GPU, its image and its arguments.

The ConfigMap that `tuning.config` names is read here already, by the same code as in the pod: a
wrong section or quantization is a condition before a node is bought, not a failed Job after it.
Keys that only peft and the trainer know are left to the pod, which carries them.

One GPU: the trainer is one process, and adapters are small.

Must not import the other files of `plan` but the refusal, hardware and config.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from model_presets.destination import Destination
from model_presets.preset import Preset
from model_presets.tuning_config import (
    CONFIG_KEY,
    InvalidTraining,
    Method,
    TrainingConfig,
    parse_training,
    read_method,
)

from workspace_operator.api import Tuning, Workspace
from workspace_operator.api.output_repository import output_repository
from workspace_operator.instance_types import InstanceType, find, of_cloud
from workspace_operator.plan.hardware import BYPASS_ANNOTATION, Hardware, asked_types
from workspace_operator.plan.refusal import PlanError
from workspace_operator.settings import NodeProvisioner, Settings
from workspace_operator.tuning_fit import DEFAULT_TARGETS, Recipe, runs_on, tuning_bytes

# Folders of the pod. Source: kaito-project/kaito, pkg/workspace/tuning/preset_tuning.go at v0.12.0.
DATA_FOLDER = "/mnt/data"
RESULTS_FOLDER = "/mnt/results"
CONFIG_FOLDER = "/mnt/config"
PUSH_SECRET_FILE = "/mnt/push-secret/config.json"  # noqa: S105 - a path
HUB_TOKEN_FILE = "/mnt/hub-token/token"  # noqa: S105 - a path


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """
    Hold what is to be trained.

    Attributes:
        method: lora or qlora.
        config_name: The ConfigMap; empty for the defaults.
        digest: Of everything that a user can change about it: another one is another training.
        recipe: What of it costs memory.
        repository: Where at the hub the adapter is uploaded; none where it is not.
    """

    method: Method
    config_name: str
    digest: str
    recipe: Recipe
    repository: Destination | None = None


def read_training(
    workspace: Workspace, tuning: Tuning, preset: Preset, config_map: Mapping[str, Any] | None
) -> tuple[Training, TrainingConfig]:
    """
    Read what a tuning asks for.

    Args:
        workspace: The Workspace.
        tuning: Its tuning.
        preset: The model to tune.
        config_map: The ConfigMap that it names, as the API server gave it; None without one.

    Raises:
        PlanError: The preset cannot be tuned, or the ConfigMap is missing or wrong.
    """
    if not preset.tunable:
        raise PlanError(
            "PresetNotTunable",
            f"tuning.preset.name: {preset.name} cannot be tuned; "
            "the preset cannot be changed, so delete this Workspace and apply one with another",
        )
    text = _text(workspace, tuning, config_map)
    try:
        method = read_method(tuning.method or "")
        config = parse_training(text, method)
    except InvalidTraining as problem:
        raise PlanError("ConfigInvalid", f"{_place(tuning)}{problem}") from problem
    recipe = _Reader(place=_place(tuning)).recipe(config, preset)
    repository = output_repository(workspace.annotations)
    asked = tuning.model_dump_json(by_alias=True, exclude_none=True)
    also = f"\n{repository}" if repository else ""
    digest = hashlib.sha256(f"{asked}\n{text}{also}".encode()).hexdigest()
    training = Training(
        method=method,
        config_name=tuning.config or "",
        digest=digest,
        recipe=recipe,
        repository=repository,
    )
    return training, config


def training_arguments(
    preset: Preset, training: Training, tuning: Tuning, settings: Settings
) -> tuple[str, ...]:
    """Return the arguments of `python -m model_tuning`."""
    flags = {
        "preset": preset.name,
        "method": training.method,
        "data": DATA_FOLDER,
        "output": RESULTS_FOLDER,
    }
    if training.config_name:
        flags["config"] = f"{CONFIG_FOLDER}/{CONFIG_KEY}"
    if tuning.output.image:
        flags["push"] = tuning.output.image
        if tuning.output.image_push_secret:
            flags["push-auth"] = PUSH_SECRET_FILE
    if training.repository:
        flags["upload"] = str(training.repository)
        flags["upload-token"] = HUB_TOKEN_FILE
    plain = tuning.output.image and settings.speaks_plain_http(tuning.output.image)
    switches = ("--plain-http",) if plain else ()
    return ("train", *(f"--{name}={value}" for name, value in flags.items()), *switches)


def training_image(tuning: Tuning, preset: Preset, settings: Settings) -> str:
    """Return what the pod runs: the user's own image, or that of the preset."""
    options = tuning.preset.preset_options if tuning.preset else None
    return (options.image if options else None) or settings.tuning_image_for(preset.name)


def training_hardware(
    workspace: Workspace, preset: Preset, recipe: Recipe, settings: Settings
) -> Hardware:
    """
    Decide which machines come into question.

    Raises:
        PlanError: None is named and none fits.
    """
    listed = asked_types(workspace)
    if not listed and settings.node_provisioner is NodeProvisioner.KARPENTER and preset.gpu_count:
        return _chosen(preset, recipe, settings)
    bypassed = BYPASS_ANNOTATION in workspace.annotations
    fits = tuple(each for each in listed if bypassed or _may_do(preset, recipe, find(each)))
    kept = fits or listed[:1]  # where none fits, the plan is refused for the first
    brought = settings.node_provisioner is NodeProvisioner.BYO
    machines = [find(each) for each in (kept[:1] if brought else kept)]
    known = [machine.gpu for machine in machines if machine is not None]
    whole = len(known) == len(machines) > 0
    return Hardware(
        candidates=() if brought else kept,
        in_order=len(kept) > 1,
        left_out=tuple(each for each in listed if each not in kept),
        gpu=min(known, key=lambda gpu: gpu.usable_bytes, default=None),
        gpus=1 if whole else min(1, preset.gpu_count),
        least_gpu_mib=_mebibytes(tuning_bytes(preset, recipe)),
    )


def _chosen(preset: Preset, recipe: Recipe, settings: Settings) -> Hardware:
    """Return the machines to choose from where the user left it open: one kind of GPU only."""
    fitting = [each for each in of_cloud(settings.cloud) if runs_on(preset, recipe, each.gpu)]
    if not fitting:
        raise PlanError(
            "NoInstanceTypeFits",
            f"resource.instanceType: not given, and no machine known for cloud {settings.cloud} "
            f"holds {recipe.method} of {preset.name}; name one",
        )
    smallest = fitting[0]
    same = [each for each in fitting if each.gpu == smallest.gpu and each.gpu_count == 1]
    return Hardware(
        candidates=tuple(each.name for each in same or fitting[:1]),
        gpu=smallest.gpu,
        gpus=1,
        least_gpu_mib=_mebibytes(tuning_bytes(preset, recipe)),
    )


def _may_do(preset: Preset, recipe: Recipe, machine: InstanceType | None) -> bool:
    return machine is None or runs_on(preset, recipe, machine.gpu)


def _mebibytes(number: int) -> int:
    return -(-number // 1024**2)


def _text(workspace: Workspace, tuning: Tuning, config_map: Mapping[str, Any] | None) -> str:
    if not tuning.config:
        return ""
    if config_map is None:
        raise PlanError(
            "ConfigMapNotFound",
            f"tuning.config: ConfigMap {tuning.config!r} specified in 'config' not found in "
            f"namespace {workspace.namespace!r}; create it with the key {CONFIG_KEY}, or remove "
            "the field",
        )
    data = config_map.get("data") or {}
    if CONFIG_KEY not in data:
        has = ", ".join(sorted([*data, *(config_map.get("binaryData") or {})])[:5]) or "no key"
        raise PlanError(
            "ConfigMapKeyMissing",
            f"tuning.config: ConfigMap {tuning.config} has no text under the key {CONFIG_KEY} "
            f"(it has {has}); rename the key to {CONFIG_KEY}",
        )
    return str(data[CONFIG_KEY])


def _place(tuning: Tuning) -> str:
    return f"ConfigMap {tuning.config}, key {CONFIG_KEY}: " if tuning.config else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Take the figures out of a configuration; every refusal starts with its place."""

    place: str

    def recipe(self, config: TrainingConfig, preset: Preset) -> Recipe:
        targets = config.lora.get("target_modules") or DEFAULT_TARGETS
        if isinstance(targets, str):
            targets = (targets,)
        if not isinstance(targets, list | tuple):
            self._refuse("LoraConfig.target_modules", targets, "write a list of names")
        longest = self._count(
            config.arguments, "TrainingArguments.max_length", preset.context_length
        )
        return Recipe(
            method=config.method,
            eight_bit=bool(config.quantization.get("load_in_8bit")),
            rank=self._count(config.lora, "LoraConfig.r", 8),
            targets=tuple(map(str, targets)),
            batch=self._count(config.arguments, "TrainingArguments.per_device_train_batch_size", 1),
            tokens=min(longest, preset.context_length),
        )

    def _count(self, values: Mapping[str, Any], name: str, default: int) -> int:
        value = values.get(name.partition(".")[2], default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self._refuse(name, value, "write a whole number from 1")
        return value

    def _refuse(self, name: str, value: object, remedy: str) -> NoReturn:
        shown = repr(value)[:60]
        raise PlanError("ConfigInvalid", f"{self.place}{name}: {shown}: {remedy}")
