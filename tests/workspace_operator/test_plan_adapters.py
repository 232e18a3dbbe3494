"""Adapters take memory that nobody knows beforehand: it is told, and changes no verdict."""

from dataclasses import replace

import pytest
from workspace_operator.instance_types import GIB, find
from workspace_operator.memory_fit import MemoryFit, memory_fit

from tests.builders import A100, MISTRAL_7B, planned, workspace

NO_WINDOW = replace(MISTRAL_7B, name="no-window", sliding_window=None, context_length=32768)
A10 = "Standard_NV36ads_A10_v5"


def adapters(count: int) -> list[dict[str, object]]:
    return [{"source": {"name": f"a{n}", "image": f"r.example/a:{n}"}} for n in range(count)]


def fit(count: int, type_: str = A10) -> MemoryFit:
    machine = find(type_)
    assert machine
    return memory_fit(MISTRAL_7B, machine.gpu, 1, "azure", adapters=count)


def test_without_adapters_nothing_is_said_of_them() -> None:
    assert fit(0).sure_tokens is None
    assert fit(0).sentence.endswith("leave room for 60,712 tokens")


@pytest.mark.parametrize(
    ("count", "sure", "words"),
    [
        (1, 44_328, "; with 1 adapter of 2 GiB, the most that is fetched of an image, for 44,328"),
        (3, 11_560, "; with 3 adapters of 2 GiB each, the most that is fetched of an image, for "),
        (4, 0, "for 0, so the server measures them when they are loaded"),
    ],
)
def test_each_is_counted_with_the_most_that_is_fetched(count: int, sure: int, words: str) -> None:
    found = fit(count)
    assert found.fits, "small adapters fit, and most are"
    assert found.kv_tokens == 60_712
    assert found.sure_tokens == sure == max(0, 60_712 - count * 2 * GIB // 131_072)
    assert words in found.sentence


def test_the_context_that_nobody_chose_leaves_room_for_them() -> None:
    def longest(count: int) -> list[str]:
        made = workspace(
            instance_type=A10,
            inference={"preset": {"name": "no-window"}, "adapters": adapters(count)},
        )
        flags = planned(made, preset=NO_WINDOW).server_arguments
        return [flag for flag in flags if flag.startswith("--max-model-len")]

    assert longest(0) == longest(1) == []
    assert longest(2) == [f"--max-model-len={int(27_944 * 0.9)}"]
    assert longest(10) == ["--max-model-len=4096"], "one request of the shortest context"


def test_the_plan_shows_the_arithmetic_for_every_machine() -> None:
    made = workspace(
        instance_type=A100,
        annotations={"atelier.dev/plan": "only"},
        inference={"preset": {"name": "mistral-7b-instruct"}, "adapters": adapters(2)},
    )
    plan = planned(made)
    assert "2 adapters of 2 GiB each" in plan.fit.sentence
    assert plan.options
    assert all("2 adapters" in each.fit for each in plan.options if each.fits)
