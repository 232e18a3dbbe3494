"""The layout of a step: which tables are gathered together, and that it changes no answer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_server.compute import step_inputs
from model_server.compute.step_inputs import neighbours, runs, slots
from model_server.engine.batch import BatchItem
from model_server.engine.history import History
from model_server.engine.request import SamplingParameters

from tests.model_server.tiny_models import Driver, generate, mistral, native, prompts, request

BLOCK_BYTES = 5 * 2 * 8 * 4  # tokens, heads, numbers, bytes of each


def test_the_example_of_the_docstring() -> None:
    assert neighbours([1, 1, 2, 3], 6) == [(0, 3), (3, 4)]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 100))
def test_parts_follow_each_other_and_no_larger_one_would_do(lengths: list[int], most: int) -> None:
    parts = neighbours(lengths, most)
    assert [begin for begin, _ in parts] == [0, *(end for _, end in parts[:-1])]
    assert parts[-1][1] == len(lengths)
    for begin, end in parts:
        assert end == begin + 1 or max(lengths[begin:end]) * (end - begin) <= most
    for begin, end in parts[:-1]:
        assert max(lengths[begin : end + 1]) * (end + 1 - begin) > most


def item(start: int, count: int, *, first_block: int, block_ids: tuple[int, ...]) -> BatchItem:
    return BatchItem(
        request_id="a",
        start=start,
        token_ids=(0,) * count,
        first_block=first_block,
        block_ids=block_ids,
        samples=True,
        sampling=SamplingParameters(max_tokens=1),
        history=History((0,)),
    )


def test_the_example_of_runs() -> None:
    example = item(6, 4, first_block=1, block_ids=(7, 3))
    assert list(runs(example, 6, 4)) == [range(30, 32), range(12, 14)]


@given(st.integers(1, 7), st.integers(0, 40), st.integers(1, 30), st.integers(0, 3))
def test_every_position_has_its_cell(size: int, start: int, count: int, more: int) -> None:
    first, last = max(0, start // size - more), (start + count - 1) // size
    blocks = tuple(100 - block for block in range(first, last + 1))
    one = item(start, count, first_block=first, block_ids=blocks)
    wanted = [
        blocks[position // size - first] * size + position % size
        for position in range(start, start + count)
    ]
    assert slots([one], size) == wanted
    assert slots([one, one], size) == wanted * 2
    assert [cell for run in runs(one, start, size) for cell in run] == wanted


@pytest.mark.parametrize("size", [1, 6 * BLOCK_BYTES], ids=["one by one", "a few"])
def test_answers_are_the_same_in_parts(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    model = mistral(sliding_window=32)
    lengths = (1, 40, 3, 17, 90, 6)
    asked = {str(n): prompt for n, prompt in zip(lengths, prompts(*lengths), strict=True)}
    gathered: list[int] = []

    def counted(lengths: Any, most: int) -> list[tuple[int, int]]:  # noqa: ANN401 - handed on
        parts = neighbours(lengths, most)
        gathered.append(len(parts))
        return parts

    monkeypatch.setattr(step_inputs, "GATHER_BYTES", size)
    monkeypatch.setattr(step_inputs, "neighbours", counted)
    driver = Driver(native(model, block_size=5), max_batch_tokens=33)
    answers = driver.run([request(name, prompt, 30) for name, prompt in asked.items()])
    assert max(gathered) > 1
    assert answers == {name: generate(model, prompt, 30) for name, prompt in asked.items()}
