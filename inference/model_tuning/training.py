"""
Train an adapter: load the frozen model, add LoRA, learn the examples, write the result.

trl's trainer does the work over transformers' and peft's; here stand the choices that make it safe
to leave alone in a cluster: no code from the weights, no network, no reports to anybody, a
checkpoint that can be resumed, progress after every step. The result is peft's own format, with the
preset's repository and revision in it instead of a path of this pod.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from model_presets.preset import Preset
from model_presets.tuning_config import InvalidTraining, TrainingConfig
from peft import LoraConfig, TaskType, prepare_model_for_kbit_training
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    TrainerCallback,
    TrainerState,
)
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from model_tuning.checkpoints import latest, mark_complete
from model_tuning.data import TrainingData
from model_tuning.examples import Example
from model_tuning.progress import Progress

COMPLETED = "fine_tuning_completed.txt"  # the file that KAITO's own jobs leave
CHECKPOINTS = "checkpoints"
NOT_LEARNED = -100  # torch.nn.CrossEntropyLoss ignores it

# What a pod decides by itself, and a file may not.
_OWN_ARGUMENTS: Mapping[str, Any] = {
    "report_to": "none",
    "push_to_hub": False,
    "disable_tqdm": True,
    "remove_unused_columns": False,
    "dataset_kwargs": {"skip_prepare_dataset": True},
    "include_num_input_tokens_seen": "all",
}
# What a file may say otherwise: report every step; a checkpoint every tenth of the way, two kept.
_DEFAULT_ARGUMENTS: Mapping[str, Any] = {
    "logging_steps": 1,
    "save_strategy": "steps",
    "save_steps": 0.1,
    "save_total_limit": 2,
    "dataloader_pin_memory": False,
    "average_tokens_across_devices": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """
    Hold one training.

    Attributes:
        preset: The base model.
        weights: Its folder.
        config: What training_config.yaml says.
        output: Where adapter and checkpoints go.
    """

    preset: Preset
    weights: Path
    config: TrainingConfig
    output: Path


def known_keys() -> dict[str, frozenset[str]]:
    """Return the keys that the libraries define, by section of training_config.yaml."""
    bitsandbytes: Any = BitsAndBytesConfig
    quantization = {"load_in_4bit", "load_in_8bit", *bitsandbytes().to_dict()}
    return {
        "LoraConfig": frozenset(each.name for each in fields(LoraConfig)),
        "TrainingArguments": frozenset(each.name for each in fields(SFTConfig))
        - _OWN_ARGUMENTS.keys(),
        "QuantizationConfig": frozenset(quantization) - {"_load_in_4bit", "_load_in_8bit"},
    }


def load_tokenizer(task: Task) -> Any:  # noqa: ANN401 - transformers' class depends on the files
    """Load the tokenizer that came with the weights."""
    return AutoTokenizer.from_pretrained(task.weights, local_files_only=True)


def train(task: Task, data: TrainingData, tokenizer: Any, progress: Progress) -> Path:  # noqa: ANN401 - the same
    """
    Train and write the adapter.

    Returns:
        The folder that holds it.

    Raises:
        InvalidTraining: when a library refuses a value of the configuration.
    """
    progress.enter("loading")
    arguments = _arguments(task)
    adapter = _lora(task.config)
    model = _load_model(task)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=_dataset(data.train),
        eval_dataset=_dataset(data.test) if data.test else None,
        processing_class=tokenizer,
        peft_config=adapter,
        callbacks=[Reporting(progress, task.output / CHECKPOINTS)],
    )
    found = latest(task.output / CHECKPOINTS)
    trainer.train(resume_from_checkpoint=str(found[0]) if found else None)
    progress.enter("saving")
    return _write(task, trainer)


class Reporting(TrainerCallback):
    """Carry the trainer's steps to those who ask."""

    def __init__(self, progress: Progress, checkpoints: Path) -> None:
        """Write to one progress."""
        self._progress = progress
        self._checkpoints = checkpoints
        self._tokens_before = 0.0

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:  # noqa: ANN401, ARG002 - the base's
        """Start the clock."""
        self._tokens_before = state.num_input_tokens_seen
        self._progress.begin_training(state.max_steps, state.global_step)

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:  # noqa: ANN401, ARG002 - the base's
        """Count a step."""
        tokens = int(state.num_input_tokens_seen - self._tokens_before)
        self._progress.advance(state.global_step, float(state.epoch or 0.0), tokens)

    def on_log(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:  # noqa: ANN401, ARG002 - the base's
        """Keep the loss."""
        logs = kwargs.get("logs") or {}
        if "loss" in logs:
            self._progress.report_loss(float(logs["loss"]))

    def on_save(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:  # noqa: ANN401, ARG002 - the base's
        """Mark the checkpoint as whole: nothing of it is written after this."""
        mark_complete(self._checkpoints, state.global_step)


def _arguments(task: Task) -> SFTConfig:
    on_gpu = torch.cuda.is_available()
    given = {key: value for key, value in task.config.arguments.items() if key != "output_dir"}
    chosen = {
        "use_cpu": not on_gpu,
        "bf16": on_gpu,
        "activation_checkpointing": on_gpu,
        "gradient_checkpointing": None,
        "max_length": task.preset.context_length,
        **_DEFAULT_ARGUMENTS,
        **given,
        **_OWN_ARGUMENTS,
    }
    try:
        return SFTConfig(output_dir=str(task.output / CHECKPOINTS), **chosen)
    except (TypeError, ValueError) as error:
        raise InvalidTraining("TrainingArguments", given, str(error)) from error


def _lora(config: TrainingConfig) -> LoraConfig:
    try:
        return LoraConfig(**{"task_type": TaskType.CAUSAL_LM, **config.lora})
    except (TypeError, ValueError) as error:
        raise InvalidTraining("LoraConfig", dict(config.lora), str(error)) from error


def _load_model(task: Task) -> Any:  # noqa: ANN401 - transformers' class depends on the files
    config = task.config
    on_gpu = torch.cuda.is_available()
    dtype = _dtype(config) if on_gpu else torch.float32
    options: dict[str, Any] = {"dtype": dtype, "local_files_only": True, "use_safetensors": True}
    if on_gpu:
        options["device_map"] = config.model.get("device_map", "auto")
    if not config.quantization:
        return AutoModelForCausalLM.from_pretrained(task.weights, **options)
    quantization = {**config.quantization}
    if not on_gpu:
        quantization["bnb_4bit_compute_dtype"] = torch.float32
    try:
        bitsandbytes: Any = BitsAndBytesConfig
        wanted = bitsandbytes(**quantization)
    except (TypeError, ValueError) as error:
        raise InvalidTraining("QuantizationConfig", quantization, str(error)) from error
    options.setdefault("device_map", "cpu")
    model = AutoModelForCausalLM.from_pretrained(
        task.weights, quantization_config=wanted, **options
    )
    prepare: Any = prepare_model_for_kbit_training
    return prepare(model, use_gradient_checkpointing=on_gpu)


def _dtype(config: TrainingConfig) -> torch.dtype:
    name = config.model.get("dtype", config.model["torch_dtype"])
    dtype = getattr(torch, str(name), None)
    if not isinstance(dtype, torch.dtype):
        raise InvalidTraining("ModelConfig.torch_dtype", name, "use bfloat16, float16 or float32")
    return dtype


def _dataset(examples: tuple[Example, ...]) -> Any:  # noqa: ANN401 - datasets' class
    from datasets import Dataset  # noqa: PLC0415 - imported with the data

    return Dataset.from_list(
        [{"input_ids": each.input_ids, "labels": labels(each)} for each in examples]
    )


def labels(example: Example) -> list[int]:
    """Return what the loss compares with: the tokens to learn, and a mark on the others."""
    pairs = zip(example.input_ids, example.completion_mask, strict=True)
    return [token if learned else NOT_LEARNED for token, learned in pairs]


def _write(task: Task, trainer: SFTTrainer) -> Path:
    """Write the adapter in peft's format, tied to the preset's revision."""
    model: Any = trainer.model
    model.save_pretrained(str(task.output))
    path = task.output / "adapter_config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["base_model_name_or_path"] = task.preset.repo
    content["revision"] = task.preset.revision
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (task.output / "README.md").unlink(missing_ok=True)  # a template, with nothing filled in
    (task.output / COMPLETED).write_text(f"{trainer.state.global_step}\n", encoding="utf-8")
    return task.output
