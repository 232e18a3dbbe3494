"""
Steps that only decode, recorded and replayed; here by a stand-in that calls the function again.

The stand-in keeps a graph's one rule: a replay reads and writes the memory of the capture. What it
cannot show is that a function may be captured at all; that takes a GPU.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_server.compute.decode_graphs import sizes, table_rows
from model_server.compute.forward import Path
from model_server.compute.fused import TORCH, FusedDecoder, by_table
from model_server.compute.kernels import twins
from model_server.compute.model import LoadedModel
from model_server.compute.runner import CacheSize, NativeRunner
from model_server.engine.batch import BatchItem
from model_server.engine.history import History
from model_server.engine.request import SamplingParameters
from torch import Tensor

from tests.model_server.tiny_models import Driver, generate, mistral, prompts, request

WINDOW, COUNT = 32, 40
PROMPTS = prompts(1, 3, WINDOW - 1, WINDOW + 1, 2 * WINDOW, 100)


class FunctionCalledAgain:
    """Stand for a CUDA graph: a replay calls the function and writes where the capture did."""

    replays = 0

    def capture(self, compute: Callable[[], Tensor]) -> Tensor:
        self._compute, self._result = compute, compute().clone()
        return self._result

    def replay(self) -> None:
        type(self).replays += 1
        self._result.copy_(self._compute())


def path_of(model: LoadedModel, graph: type = FunctionCalledAgain) -> Path:
    attend = by_table(twins.attend_tokens, twins.attend_chunk)
    operations = replace(TORCH, attend=attend)
    forward = FusedDecoder(model.module, operations, model.adapters)
    return Path(forward=forward, masked=False, make_graph=graph)


def recorded(model: LoadedModel, graph_rows: int, **cache: int) -> NativeRunner:
    size = CacheSize(**{"block_size": 16, "block_count": 400, **cache})
    path = path_of(model)
    return NativeRunner(model, size, max_model_len=512, path=path, graph_rows=graph_rows)


@pytest.mark.parametrize("window", [None, WINDOW])
@pytest.mark.parametrize("graph_rows", [2, 16])
def test_replayed_steps_answer_as_generate_does(window: int | None, graph_rows: int) -> None:
    """Ragged lengths, joiners, leavers, preemption; with 2 rows most steps are too large."""
    model = mistral(sliding_window=window)
    expected = {str(len(prompt)): generate(model, prompt, COUNT) for prompt in PROMPTS}
    FunctionCalledAgain.replays = 0
    runner = recorded(model, graph_rows, block_size=4, block_count=44)
    driver = Driver(runner, max_batch_tokens=40)
    for prompt in PROMPTS:
        driver.scheduler.add(request(str(len(prompt)), prompt, COUNT))
        driver.step()
    assert driver.run() == expected
    assert driver.scheduler.preemptions > 0
    assert FunctionCalledAgain.replays > (COUNT if graph_rows > 2 else 10)


def test_the_spare_block_belongs_to_nobody() -> None:
    runner = recorded(mistral(), 4, block_count=10)
    assert runner.block_count == 10
    assert all(len(layer.keys) == 11 for layer in runner._cells.layers)
    before = [layer.keys[:10].clone() for layer in runner._cells.layers]
    assert all((keys == 0).all() for keys in before)  # capturing wrote to the spare block alone
    assert all((layer.keys[10] != 0).any() for layer in runner._cells.layers)


class SomethingElse(FunctionCalledAgain):
    """A graph that went wrong: its replays do not compute what was recorded."""

    def replay(self) -> None:
        self._result.add_(1)


class NotToBeCaptured(FunctionCalledAgain):
    """A graph that cannot be: as torch says it where a launch is not allowed."""

    def capture(self, _compute: Callable[[], Tensor]) -> Tensor:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")


@pytest.mark.parametrize(
    ("graph", "words"),
    [(SomethingElse, "the graph of 4 rows is"), (NotToBeCaptured, "operation not permitted")],
)
def test_a_graph_that_differs_or_fails_is_not_used(
    graph: type, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = mistral()
    size, path = CacheSize(block_size=16, block_count=40), path_of(model, graph)
    with caplog.at_level(logging.WARNING):
        runner = NativeRunner(model, size, max_model_len=512, path=path, graph_rows=4)
    (record,) = caplog.records
    assert record.message == "graphs_are_off"
    error: str = vars(record)["error"]
    assert error.startswith(words)
    assert "\n" not in error
    expected = generate(model, PROMPTS[1], COUNT)
    assert Driver(runner).run([request("a", PROMPTS[1], COUNT)])["a"] == expected


class Adapters:
    """Two names and a choice, as `lora.Adapters` shows them to the runner; they add nothing."""

    names = frozenset({"a"})
    are_chosen = False

    def choose(self, segments: list[Any]) -> None:
        self.are_chosen = bool(segments)

    def add_to(self, _module: str, _outputs: Tensor, _inputs: Tensor) -> None:
        pass


def test_steps_with_an_adapter_are_not_replayed() -> None:
    adapters: Any = Adapters()
    runner = recorded(replace(mistral(), adapters=adapters), 4)
    replays = []
    for adapter in ("", "a"):
        FunctionCalledAgain.replays = 0
        driver = Driver(runner)
        driver.run([replace(request("x", PROMPTS[1], 5), adapter=adapter)])
        replays.append(FunctionCalledAgain.replays)
    assert replays == [4, 0]


def item(start: int, blocks: tuple[int, ...], first_block: int = 0) -> BatchItem:
    return BatchItem(
        request_id="a",
        start=start,
        token_ids=(start + 100,),
        first_block=first_block,
        block_ids=blocks,
        samples=True,
        sampling=SamplingParameters(max_tokens=1),
        history=History((1,)),
    )


def test_the_table_of_a_step() -> None:
    rows = table_rows([item(9, (7, 3), 1), item(2, (5,))], 3, block_size=4, spare_block=20)
    assert rows == [
        [109, 9, 13, 4, 7, 3],
        [102, 2, 22, 0, 5, 0],
        [0, 0, 80, 0, 20, 0],
    ]


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (1, [1]),
        (3, [1, 2, 3]),
        (40, [1, 2, 4, 8, 16, 24, 32, 40]),
        (100, [1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 100]),
    ],
)
def test_sizes_end_with_the_largest_step(most: int, expected: list[int]) -> None:
    assert sizes(most) == expected


@given(st.integers(min_value=1, max_value=1000))
def test_sizes_grow_and_waste_little(most: int) -> None:
    found = sizes(most)
    assert found == sorted(set(found))
    assert found[-1] == most
    for count in range(1, most + 1):
        taken = next(size for size in found if size >= count)
        assert taken < 2 * count or taken <= 8
