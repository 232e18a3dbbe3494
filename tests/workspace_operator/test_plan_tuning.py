"""What a tuning gets, and which ones are refused before a machine is bought."""

from dataclasses import replace
from typing import Any

import pytest
import yaml
from model_presets.preset import Preset
from workspace_operator.plan import PlanError
from workspace_operator.settings import Settings

from tests.builders import BYO, CATALOG, MISTRAL_7B, SETTINGS, TINY, Manifest
from tests.builders.tunings import config_map, tuning, tuning_plan

LONG = CATALOG.get("mistral-7b-instruct-v0.2")  # a context of 32k
NAMED: dict[str, Any] = {"config": "lora-params"}


def training_config(**sections: Manifest) -> Manifest:
    return config_map(yaml.safe_dump({"training_config": sections}))


def test_the_arguments_are_those_of_the_tuning_image() -> None:
    made = tuning(output={"image": "r.example/a:1", "imagePushSecret": "push"}, **NAMED)
    plan = tuning_plan(made, config=training_config())
    assert plan.server_arguments == (
        "train",
        "--preset=mistral-7b-instruct",
        "--method=lora",
        "--data=/mnt/data",
        "--output=/mnt/results",
        "--config=/mnt/config/training_config.yaml",
        "--push=r.example/a:1",
        "--push-auth=/mnt/push-secret/config.json",
    )
    assert plan.image == "atelier/mistral-7b-instruct-tuning:1.2.3"
    assert (plan.node_count, plan.gpus_per_node) == (1, 1)


def test_a_registry_without_tls_is_pushed_to_in_plain_words() -> None:
    plain = replace(SETTINGS, plain_http_registries=frozenset({"r.apps:5000"}))
    named = tuning(output={"image": "r.apps:5000/a:1", "imagePushSecret": "push"})
    elsewhere = tuning(output={"image": "r.example/a:1", "imagePushSecret": "push"})
    assert tuning_plan(named, plain).server_arguments[-1] == "--plain-http"
    for arguments in (
        tuning_plan(named).server_arguments,
        tuning_plan(elsewhere, plain).server_arguments,
        tuning_plan(tuning(), plain).server_arguments,
    ):
        assert "--plain-http" not in arguments


def test_the_users_own_image_is_taken() -> None:
    named = {"name": "mistral-7b", "presetOptions": {"image": "r.example/tuner:2"}}
    assert tuning_plan(tuning(preset=named)).image == "r.example/tuner:2"


def test_one_gpu_of_a_large_machine_is_used() -> None:
    plan = tuning_plan(tuning(instance_type="Standard_NC96ads_A100_v4"))
    assert plan.gpus_per_node == 1


def test_without_a_type_the_smallest_that_holds_it_is_taken() -> None:
    small = tuning_plan(tuning(instance_type=None, method="qlora"))
    large = tuning_plan(tuning(instance_type=None), preset=LONG)
    assert small.candidates[0] == "Standard_NV36ads_A10_v5"
    assert large.candidates[0] == "Standard_NC24ads_A100_v4"
    assert small.least_gpu_mib < large.least_gpu_mib


def test_brought_nodes_are_not_bought() -> None:
    plan = tuning_plan(tuning(instance_type=None), BYO)
    assert plan.candidates == ()
    assert plan.gpus_per_node == 1
    assert tuning_plan(tuning(instance_type=None), BYO, TINY).gpus_per_node == 0


def test_what_the_user_changes_is_another_training_and_nothing_else_is() -> None:
    same = tuning_plan(tuning()).training
    assert same is not None
    assert tuning_plan(tuning(), Settings(version="9.9.9")).training == same
    assert tuning_plan(tuning(annotations={"kaito.sh/bypass-resource-checks": "true"})).training
    others = [
        tuning_plan(tuning(input={"urls": ["https://example.com/more.parquet"]})),
        tuning_plan(tuning(**NAMED), config=training_config()),
        tuning_plan(tuning(**NAMED), config=training_config(LoraConfig={"r": 16})),
    ]
    digests = {each.training.digest for each in others if each.training} | {same.digest}
    assert len(digests) == 4


def test_what_has_no_effect_is_said() -> None:
    plan = tuning_plan(tuning(**NAMED), config=training_config(DataCollator={"mlm": True}))
    assert "DataCollator.mlm" in plan.notes[0]


REFUSED: list[tuple[str, str, dict[str, Any], Settings, Preset, Manifest | None]] = [
    ("PresetNotTunable", "cannot be tuned", {}, SETTINGS, CATALOG.get("mixtral-8x7b"), None),
    ("ConfigMapNotFound", "'lora-params'", NAMED, SETTINGS, MISTRAL_7B, None),
    ("ConfigMapKeyMissing", "it has x", NAMED, SETTINGS, MISTRAL_7B, {"data": {"x": ""}}),
    ("ConfigInvalid", "mend the YAML", NAMED, SETTINGS, MISTRAL_7B, config_map("a: [")),
    (
        "ConfigInvalid",
        "unrecognized section; did you mean LoraConfig",
        NAMED,
        SETTINGS,
        MISTRAL_7B,
        training_config(LoraConfg={}),
    ),
    (
        "ConfigInvalid",
        "ConfigMap lora-params, key training_config.yaml: LoraConfig.r: 0",
        NAMED,
        SETTINGS,
        MISTRAL_7B,
        training_config(LoraConfig={"r": 0}),
    ),
    (
        "ConfigInvalid",
        "LoraConfig.target_modules",
        NAMED,
        SETTINGS,
        MISTRAL_7B,
        training_config(LoraConfig={"target_modules": 7}),
    ),
    (
        "ConfigInvalid",
        "use method qlora",
        NAMED,
        SETTINGS,
        MISTRAL_7B,
        training_config(QuantizationConfig={"load_in_4bit": True}),
    ),
    (
        "MemoryDoesNotFit",
        "max_length",
        {"instance_type": "Standard_NV36ads_A10_v5"},
        SETTINGS,
        LONG,
        None,
    ),
]


@pytest.mark.parametrize(
    ("reason", "says", "facts", "settings", "preset", "config"),
    REFUSED,
    ids=[f"{row[0]}: {row[1]}" for row in REFUSED],
)
def test_what_cannot_be_done_is_refused(
    reason: str,
    says: str,
    facts: dict[str, Any],
    settings: Settings,
    preset: Preset,
    config: Manifest | None,
) -> None:
    with pytest.raises(PlanError) as refusal:
        tuning_plan(tuning(**facts), settings, preset, config)
    assert refusal.value.reason == reason
    assert says in refusal.value.message


def test_who_knows_better_skips_the_check() -> None:
    made = tuning(
        instance_type="Standard_NV36ads_A10_v5",
        annotations={"kaito.sh/bypass-resource-checks": "true"},
    )
    assert tuning_plan(made, preset=LONG).fit.fits is False


def test_shorter_examples_fit_a_smaller_gpu() -> None:
    made = tuning(instance_type="Standard_NV36ads_A10_v5", **NAMED)
    config = training_config(TrainingArguments={"max_length": 2048})
    assert tuning_plan(made, preset=LONG, config=config).fit.fits
