"""A share of a node's GPUs: what the pod asks for, and whether the model fits it."""

from dataclasses import replace
from typing import Any

import pytest
from model_presets.preset import Preset
from workspace_operator.api.limits import MIG_PROFILES
from workspace_operator.plan import PlanError

from tests.builders import A100, BYO, MISTRAL_7B, TINY, planned, workspace

MIXTRAL = replace(
    MISTRAL_7B,
    name="mixtral",
    weight_bytes=93_405_585_408,
    gpu_count=2,
    gpu_memory_gib=160,
    sliding_window=None,
    context_length=32768,
)


def shared(**partition: object) -> dict[str, Any]:
    selector = {"matchLabels": {"apps": "x"}}
    return {"resource": {"labelSelector": selector, "partition": partition}}


def test_a_slice_is_asked_for_by_its_name_and_the_model_is_fitted_to_it() -> None:
    made = workspace(**shared(mode="mig", profile="2g.20gb"))
    plan = planned(made, BYO)
    assert (plan.gpu_resource, plan.gpus_per_node) == ("nvidia.com/mig-2g.20gb", 1)
    assert plan.fit.sentence.startswith("1 x MIG 2g.20gb with 17.6 GiB usable holds mistral-7b")
    assert plan.drain_seconds > planned(workspace(instance_type=A100)).drain_seconds
    assert planned(made, BYO, TINY).gpu_resource == "nvidia.com/mig-2g.20gb"


def test_whole_gpus_are_counted() -> None:
    plan = planned(workspace(**shared(mode="accelerator", count=2)), BYO)
    assert (plan.gpu_resource, plan.gpus_per_node) == ("nvidia.com/gpu", 2)
    assert plan.fit.fits is None


@pytest.mark.parametrize(
    ("partition", "preset", "says"),
    [
        (
            {"mode": "mig", "profile": "1g.10gb"},
            MISTRAL_7B,
            "profile 1g.10gb: 1 x MIG 1g.10gb with 8.8 GiB usable cannot hold mistral-7b-instruct",
        ),
        ({"mode": "mig", "profile": "1g.10gb"}, MISTRAL_7B, "; use a slice of 18 GB or more. The"),
        ({"mode": "mig", "profile": "7g.80gb"}, MIXTRAL, "spread over 2 GPUs; set resource.part"),
        ({"mode": "accelerator", "count": 1}, MIXTRAL, "resource.partition.count 1: mixtral is"),
    ],
)
def test_a_share_that_is_too_small_is_refused(
    partition: dict[str, Any], preset: Preset, says: str
) -> None:
    with pytest.raises(PlanError) as refused:
        planned(workspace(**shared(**partition)), BYO, preset)
    assert refused.value.reason == "MemoryDoesNotFit"
    assert says in refused.value.message


def test_every_profile_of_the_api_can_be_planned() -> None:
    for profile in MIG_PROFILES:
        made = workspace(**shared(mode="mig", profile=profile))
        assert planned(made, BYO, TINY).gpu_resource == f"nvidia.com/mig-{profile}"
