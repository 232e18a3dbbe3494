"""The memory of a tuning, by arithmetic."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workspace_operator.instance_types import GIB, find, of_cloud
from workspace_operator.tuning_fit import (
    Recipe,
    adapter_bytes,
    base_bytes,
    most_tokens,
    runs_on,
    token_bytes,
    tuning_bytes,
    tuning_fit,
)

from tests.builders import MISTRAL_7B, TINY

LORA = Recipe(method="lora", tokens=8192)
QLORA = replace(LORA, method="qlora")
LONG = replace(LORA, tokens=16_384)


def test_the_figures_of_mistral_are_those_of_the_module() -> None:
    assert base_bytes(MISTRAL_7B, LORA) == MISTRAL_7B.weight_bytes
    assert base_bytes(MISTRAL_7B, QLORA) / GIB == pytest.approx(4.33, abs=0.05)
    # Rank 8 on q (4096 -> 4096) and v (4096 -> 1024), 32 layers: 3,407,872 values, as peft counts.
    assert adapter_bytes(MISTRAL_7B, LORA) == 3_407_872 * 16
    assert 8192 * token_bytes(MISTRAL_7B) / GIB == pytest.approx(7.3, abs=0.1)


def test_every_matrix_counts_where_all_are_adapted() -> None:
    # As peft counts with r=8, target_modules="all-linear": 20,971,520 trainable parameters.
    everything = replace(LORA, targets=("all-linear",))
    assert adapter_bytes(MISTRAL_7B, everything) == 20_971_520 * 16


def test_eight_bits_lie_between() -> None:
    eight = replace(QLORA, eight_bit=True)
    sizes = [base_bytes(MISTRAL_7B, each) for each in (QLORA, eight, LORA)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize(
    ("recipe", "instance_type", "fits"),
    [
        (LORA, "Standard_NC24ads_A100_v4", True),
        (LONG, "Standard_NV36ads_A10_v5", False),
        (replace(LORA, tokens=2048), "Standard_NV36ads_A10_v5", True),
        (QLORA, "Standard_NV36ads_A10_v5", True),
        (QLORA, "Standard_NC4as_T4_v3", False),
    ],
)
def test_what_fits(recipe: Recipe, instance_type: str, fits: bool) -> None:  # noqa: FBT001 - a column of the table
    machine = find(instance_type)
    assert machine
    found = tuning_fit(MISTRAL_7B, recipe, machine.gpu, 1, "azure")
    assert found.fits is fits, found.sentence
    assert ("holds" in found.sentence) is fits


def test_a_remedy_that_is_followed_fits() -> None:
    machine = find("Standard_NV36ads_A10_v5")
    assert machine
    sentence = tuning_fit(MISTRAL_7B, LONG, machine.gpu, 1, "azure").sentence
    longest = most_tokens(MISTRAL_7B, LONG, machine.gpu)
    assert f"TrainingArguments.max_length to {longest} or less" in sentence
    assert runs_on(MISTRAL_7B, replace(LORA, tokens=longest), machine.gpu)
    assert not runs_on(MISTRAL_7B, replace(LORA, tokens=longest + 1), machine.gpu)


def test_weights_that_do_not_fit_alone_are_to_be_quantized() -> None:
    small = replace(of_cloud("azure")[0].gpu, usable_bytes=8 * GIB, bfloat16=True)
    sentence = tuning_fit(MISTRAL_7B, LORA, small, 1, "azure").sentence
    assert "take method qlora, or use resource.instanceType" in sentence


def test_a_gpu_that_nobody_knows_is_tried() -> None:
    found = tuning_fit(MISTRAL_7B, LORA, None, 1, "azure")
    assert found.fits is None
    assert "is not known" in found.sentence


def test_the_processor_will_do_for_a_tiny_model() -> None:
    found = tuning_fit(TINY, replace(LORA, tokens=512), None, 0, "azure")
    assert found.fits is None
    assert "needs no GPU" in found.sentence


@given(st.integers(1, 256), st.integers(1, 32), st.integers(1, 32_768), st.booleans())
def test_more_of_anything_never_takes_less(
    rank: int,
    batch: int,
    tokens: int,
    quantized: bool,  # noqa: FBT001 - drawn
) -> None:
    method = "qlora" if quantized else "lora"
    recipe = Recipe(method=method, rank=rank, batch=batch, tokens=tokens)  # type: ignore[arg-type] # one of the two
    least = tuning_bytes(MISTRAL_7B, recipe)
    for more in (
        replace(recipe, rank=rank + 1),
        replace(recipe, batch=batch + 1),
        replace(recipe, tokens=tokens + 1),
    ):
        assert tuning_bytes(MISTRAL_7B, more) > least
