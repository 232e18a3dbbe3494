"""Which rung of the ladder is taken, and that going down is said and not suffered."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from model_server.compute import forward, fused, kernel_operations
from model_server.compute.forward import ModuleForward, choose_path
from model_server.compute.fused import FusedDecoder
from model_server.compute.kernel_operations import first_fault, processors_of, shape_of, split_count
from model_server.compute.kernels.cases import Comparison
from model_server.compute.model import SMALL_MODEL_BYTES, LoadedModel
from model_server.compute.packed_linear import PackedLinear
from model_server.settings import FastPaths

from tests.model_server.tiny_models import mistral, mixtral


@pytest.mark.parametrize(
    ("make", "asked", "kind"),
    [
        (mistral, FastPaths.OFF, ModuleForward),
        (mixtral, FastPaths.GRAPHS, ModuleForward),
        (mistral, FastPaths.FUSED, FusedDecoder),
        (mistral, FastPaths.KERNELS, FusedDecoder),
        (mistral, FastPaths.GRAPHS, FusedDecoder),
    ],
)
def test_on_a_cpu_nothing_goes_beyond_torch(
    make: Callable[[], LoadedModel], asked: FastPaths, kind: type
) -> None:
    path = choose_path(make(), asked)
    assert isinstance(path.forward, kind)
    assert path.masked
    assert path.make_graph is None


@pytest.mark.parametrize(
    ("has_onednn", "weight_bytes", "dtype", "asked", "packed"),
    [
        (True, SMALL_MODEL_BYTES, torch.float32, FastPaths.FUSED, True),
        (True, SMALL_MODEL_BYTES, torch.float32, FastPaths.GRAPHS, True),
        (True, SMALL_MODEL_BYTES - 1, torch.float32, FastPaths.GRAPHS, False),
        (True, SMALL_MODEL_BYTES, torch.bfloat16, FastPaths.GRAPHS, False),
        (False, SMALL_MODEL_BYTES, torch.float32, FastPaths.GRAPHS, False),
        (True, SMALL_MODEL_BYTES, torch.float32, FastPaths.OFF, False),
    ],
)
def test_weights_that_fit_no_cache_are_packed(
    monkeypatch: pytest.MonkeyPatch,
    *,
    has_onednn: bool,
    weight_bytes: int,
    dtype: torch.dtype,
    asked: FastPaths,
    packed: bool,
) -> None:
    monkeypatch.setattr(forward, "can_pack", lambda: has_onednn)
    monkeypatch.setattr(fused, "pack", lambda weight: weight)  # which oneDNN need not be there for
    model = replace(mistral(), weight_bytes=weight_bytes, dtype=dtype)
    choose_path(model, asked)
    taken = any(isinstance(part, PackedLinear) for part in model.module.modules())
    assert taken == packed


class OnAGpu:
    """Say of a model on the CPU that it lies on a GPU."""

    type = "cuda"


def on_a_gpu() -> Any:  # noqa: ANN401 - a model whose device is not what it says
    model = mistral()
    object.__setattr__(model, "device", OnAGpu())
    return model


def test_kernels_that_differ_are_not_used_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kernel_operations, "fault_of_kernels", lambda _model: "gate differs")
    with caplog.at_level(logging.WARNING):
        path = choose_path(on_a_gpu(), FastPaths.GRAPHS)
    assert path.masked
    assert path.make_graph is None
    (record,) = caplog.records
    assert record.message == "kernels_are_off"
    assert vars(record)["error"] == "gate differs"


@pytest.mark.parametrize(("asked", "has_graphs"), [("kernels", False), ("graphs", True)])
def test_kernels_that_agree_are_used(
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    has_graphs: bool,  # noqa: FBT001 - a table
) -> None:
    monkeypatch.setattr(kernel_operations, "fault_of_kernels", lambda _model: None)
    monkeypatch.setattr(kernel_operations, "processors_of", lambda _device: 132)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 0))
    path = choose_path(on_a_gpu(), FastPaths(asked))
    assert not path.masked
    assert (path.make_graph is not None) is has_graphs


def test_a_card_that_cannot_run_kernels_is_a_fault_in_one_line() -> None:
    """Here that is a CPU: Triton finds no driver."""
    fault = kernel_operations.fault_of_kernels(mistral())
    assert fault is not None
    assert "\n" not in fault


def test_the_first_that_differs_is_named() -> None:
    good, bad = (Comparison(name=str(error), error=error, bound=1e-2) for error in (1e-3, 0.5))
    assert first_fault([good]) is None
    assert first_fault([good, bad]) == "0.5 is 5.0e-01 from its twin, allowed are 1e-02"


def test_kernels_are_tried_in_the_shape_of_the_model() -> None:
    shape = shape_of(mistral(sliding_window=4096))
    assert (shape.heads, shape.heads_kv, shape.head_size) == (8, 2, 8)
    assert (shape.hidden, shape.intermediate, shape.window) == (64, 96, 96)
    assert shape_of(mistral()).window is None


@pytest.mark.parametrize(
    ("programs", "processors", "splits"),
    [(8, 132, 32), (16, 132, 32), (64, 132, 8), (512, 132, 1), (1, 132, 32), (264, 132, 1)],
)
def test_every_processor_gets_something_to_read(
    programs: int, processors: int, splits: int
) -> None:
    assert split_count(programs, processors) == splits


def test_the_processors_are_those_of_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    card = type("Card", (), {"multi_processor_count": 132})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: card)
    assert processors_of(torch.device("cuda")) == 132


def test_a_cpu_pays_for_no_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    monkeypatch.setattr("model_server.compute.forward.importlib.import_module", refuse)
    assert choose_path(mistral(), FastPaths.GRAPHS).masked
    with pytest.raises(AssertionError, match="kernel_operations"):
        choose_path(on_a_gpu(), FastPaths.GRAPHS)
