"""What a Workspace gets, from its words, its preset and the settings alone."""

from dataclasses import replace
from typing import Any

import pytest
from model_presets.preset import Preset
from workspace_operator.instance_types import GIB, Gpu, find, of_cloud
from workspace_operator.memory_fit import RUNTIME_OVERHEAD_BYTES, fitting_types, memory_fit
from workspace_operator.plan import PlanError
from workspace_operator.settings import Cloud, Settings

from tests.builders import (
    A100,
    AWS,
    BYO,
    MISTRAL_7B,
    SETTINGS,
    TINY,
    planned,
    workspace,
)

MIXTRAL = replace(
    MISTRAL_7B,
    name="mixtral",
    weight_bytes=93_405_585_408,
    gpu_count=2,
    gpu_memory_gib=160,
    sliding_window=None,
    context_length=32768,
)
NO_WINDOW = replace(MISTRAL_7B, name="no-window", sliding_window=None, context_length=32768)


def ampere(usable_gib: float) -> Gpu:
    return Gpu(
        name="A",
        memory_gib=16,
        usable_bytes=int(usable_gib * GIB),
        bandwidth_bytes_per_second=448 * 10**9,
        bfloat16=True,
    )


def test_the_promise_of_the_proposal_holds_one_gpu_with_16_gb() -> None:
    """15.0 GiB usable hold the weights, 1 GiB of runtime and one full window of 4,096 tokens."""
    fit = memory_fit(MISTRAL_7B, ampere(15.0), 1, "azure")
    assert fit.fits
    assert fit.kv_bytes_per_token == 131_072
    assert fit.overhead_bytes == RUNTIME_OVERHEAD_BYTES == GIB
    assert fit.required_tokens == 4096
    assert fit.kv_tokens == (15 * GIB - 14_483_464_192 - GIB) // 131_072 == 4187


def test_a_little_less_memory_does_not_fit() -> None:
    fit = memory_fit(MISTRAL_7B, ampere(14.98), 1, "azure")
    assert fit.fits is False
    assert "one request needs 4,096" in fit.sentence
    assert "Standard_NV36ads_A10_v5" in fit.sentence


@pytest.mark.parametrize(
    ("type_", "gpus", "kv_tokens", "drain"),
    [
        (A100, 1, 529_295, 31),
        ("Standard_NV36ads_A10_v5", 1, 60_712, 99),
        ("Standard_NC96ads_A100_v4", 4, 529_295, 31),
        ("g5.xlarge", 1, 60_712, 99),
        ("g6.xlarge", 1, 61_531, 198),
        ("a3-ultragpu-8g", 8, 1_025_730, 30),
        ("Standard_of_tomorrow", 1, None, 30),
    ],
)
def test_the_pod_takes_all_gpus_of_a_known_machine_and_the_model_fits_one_of_them(
    type_: str, gpus: int, kv_tokens: int | None, drain: int
) -> None:
    plan = planned(workspace(instance_type=type_))
    assert plan.gpus_per_node == gpus
    assert plan.candidates == (type_,)
    assert plan.fit.kv_tokens == kv_tokens
    assert plan.drain_seconds == drain


@pytest.mark.parametrize(
    ("preset", "type_", "gpus"),
    [
        (TINY, "Standard_D4s_v5", 0),
        (TINY, A100, 1),
        (TINY, None, 0),
        (MIXTRAL, "Standard_NC48ads_A100_v4", 2),
        (MIXTRAL, "unheard-of", 2),
    ],
)
def test_gpus_follow_the_machine_else_the_preset(
    preset: Preset, type_: str | None, gpus: int
) -> None:
    assert planned(workspace(instance_type=type_), preset=preset).gpus_per_node == gpus


REFUSED: list[tuple[str, dict[str, Any], Settings, Preset]] = [
    ("MemoryDoesNotFit", {"instance_type": "Standard_NC4as_T4_v3"}, SETTINGS, MISTRAL_7B),
    ("MemoryDoesNotFit", {"instance_type": "g4dn.xlarge"}, AWS, MISTRAL_7B),
    ("MemoryDoesNotFit", {"instance_type": A100}, SETTINGS, MIXTRAL),
    ("MemoryDoesNotFit", {"instance_type": "Standard_NC6s_v3"}, SETTINGS, TINY),
    ("RuntimeNotOffered", {"annotations": {"kaito.sh/runtime": "vllm"}}, SETTINGS, MISTRAL_7B),
    ("RuntimeNotOffered", {"annotations": {"kaito.sh/runtime": "transformer"}}, BYO, MISTRAL_7B),
    (
        "PartitionNotOffered",
        {
            "resource": {
                "labelSelector": {"matchLabels": {"apps": "x"}},
                "partition": {"mode": "mig", "profile": "1g.10gb"},
            }
        },
        SETTINGS,
        MISTRAL_7B,
    ),
    (
        "NoInstanceTypeFits",
        {"instance_type": None},
        replace(SETTINGS, cloud=Cloud.KWOK),
        MISTRAL_7B,
    ),
]


@pytest.mark.parametrize(("reason", "facts", "settings", "preset"), REFUSED)
def test_what_cannot_be_carried_out_is_refused_by_reason_value_and_remedy(
    reason: str, facts: dict[str, Any], settings: Settings, preset: Preset
) -> None:
    with pytest.raises(PlanError) as refused:
        planned(workspace(**facts), settings, preset)
    assert refused.value.reason == reason
    assert str(refused.value) == refused.value.message
    assert ";" in refused.value.message, "the part after the semicolon is the remedy"


def test_the_bypass_annotation_buys_at_the_users_risk() -> None:
    made = workspace(
        instance_type="Standard_NC4as_T4_v3",
        annotations={"kaito.sh/bypass-resource-checks": ""},
    )
    plan = planned(made)
    assert plan.fit.fits is False
    assert plan.gpus_per_node == 1


def test_without_an_instance_type_the_smallest_kind_of_gpu_that_fits_is_chosen() -> None:
    plan = planned(workspace(instance_type=None), AWS)
    assert plan.instance_type is None
    assert plan.candidates[0] == "g6.xlarge"
    assert {find(name).gpu_count for name in plan.candidates if find(name)} == {1}  # type: ignore[union-attr]  # filtered
    assert plan.fit.fits


def test_brought_nodes_are_not_bought() -> None:
    plan = planned(workspace(), BYO)
    assert plan.candidates == ()
    assert any("resource.instanceType" in note for note in plan.notes)


def test_labels_of_the_operator_are_stripped_from_the_users() -> None:
    made = workspace(
        resource={
            "labelSelector": {
                "matchLabels": {
                    "apps": "x",
                    "kaito.sh/workspace": "forged",
                    "karpenter.kaito.sh/managed-by": "forged",
                }
            }
        }
    )
    assert planned(made, BYO).node_labels == {"apps": "x"}


def test_the_context_is_cut_to_what_fits_only_where_no_window_bounds_it() -> None:
    def flags(preset: Preset, type_: str) -> str:
        plan = planned(workspace(instance_type=type_), preset=preset)
        return " ".join(plan.server_arguments)

    tight = replace(NO_WINDOW, weight_bytes=int(20.0 * GIB))
    assert "--max-model-len=6634" in flags(tight, "Standard_NV36ads_A10_v5")
    assert "--max-model-len" not in flags(NO_WINDOW, A100)
    assert "--max-model-len" not in flags(MISTRAL_7B, "Standard_NV36ads_A10_v5")


def test_the_users_image_takes_the_place_of_the_operators() -> None:
    options = {"image": "registry.example/mine:1"}
    made = workspace(
        inference={"preset": {"name": "mistral-7b-instruct", "presetOptions": options}}
    )
    assert planned(made).image == "registry.example/mine:1"
    assert planned().image == "atelier/mistral-7b-instruct:1.2.3"


def test_fields_without_effect_are_named() -> None:
    selector = {"matchLabels": {"apps": "mistral"}}
    made = workspace(resource={"labelSelector": selector, "preferredNodes": ["node-1"]})
    assert any("resource.preferredNodes" in note for note in planned(made).notes)


@pytest.mark.parametrize("cloud", ["azure", "aws", "gcp"])
def test_every_cloud_offers_a_machine_for_every_size_of_model(cloud: str) -> None:
    for preset in (MISTRAL_7B, NO_WINDOW, MIXTRAL):
        types = fitting_types(preset, cloud)
        assert types
        for each in types:
            assert memory_fit(preset, each.gpu, each.gpu_count, cloud).fits


def test_the_table_is_sorted_and_its_facts_are_sane() -> None:
    for cloud in ("azure", "aws", "gcp"):
        machines = of_cloud(cloud)
        totals = [each.gpu_count * each.gpu.memory_gib for each in machines]
        assert totals == sorted(totals)
        for each in machines:
            assert find(each.name) is each
            assert 0.85 < each.gpu.usable_bytes / (each.gpu.memory_gib * GIB) < 1
    assert of_cloud("kwok") == ()


def test_an_annotation_of_kaitos_that_is_misspelt_is_a_note() -> None:
    """It was stored without the policy that refuses it, and what runs under it goes on."""
    (note,) = planned(workspace(annotations={"kaito.sh/enablelb": "true"})).notes
    assert note.startswith("annotation kaito.sh/enablelb: 'true' is not supported")
    assert note.endswith("has no effect: use True, spelt so, or remove it")
