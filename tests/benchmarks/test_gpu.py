"""The runs that wait for a GPU, here on a CPU with a tiny model: they must not rot."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from model_server.settings import FastPaths

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import decode
from benchmarks.gpu.check import self_check
from benchmarks.gpu.goals import Goal
from benchmarks.gpu.shapes import SHAPES, make_model, streamed_bytes

pytestmark = pytest.mark.timeout(400)  # servers are started, torch is imported anew
FIGURES = {
    "check": [],
    "single": ["one stream, ms per token"],
    "batch": ["64 streams, tokens/s"],
    "http": ["HTTP, part of the rate"],
    "start": ["ready, s from the start"],
    "memory": ["whole answers of a window of 128"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoint")


@pytest.mark.parametrize("run", gpu.RUNS)
def test_every_run_answers_with_its_goal(
    run: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [run, "--shape", "tiny", "--device", "cpu", "--new-tokens", "16", "--repeats", "1"]
    code = gpu.main([*line, "--folder", str(folder)])
    report: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["run"] == run
    goals = report.get("goals", [])
    assert [goal["goal"] for goal in goals] == FIGURES[run]
    assert all(isinstance(goal["measured"], float) for goal in goals)
    assert code == (0 if all(goal["met"] for goal in goals) else 1)
    if "self-check" in report:
        assert report["self-check"]["passed"]
    if run == "memory":
        assert code == 0
    if run == "batch":
        assert report["whole answers"] == 64


def test_without_a_gpu_the_true_run_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert gpu.main(["check"]) == 2
    assert "no GPU" in capsys.readouterr().err


def test_a_failed_check_ends_a_run_before_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("tiny", "cpu", torch.float32)
    monkeypatch.setattr("benchmarks.gpu.check.BOUND", {torch.float32: 0.0})
    check = self_check(model, FastPaths.GRAPHS)
    assert not check["passed"]
    monkeypatch.setattr("benchmarks.gpu.decode.self_check", lambda *_: check)
    report = decode.many_streams(model, FastPaths.GRAPHS, 8)
    assert report == {"self-check": check}
    assert not gpu.is_good(report)


def test_the_true_shape_is_mistrals() -> None:
    """Counted without memory: 7,241,732,096 parameters, of which a step reads 14.22 GB in BF16."""
    model = make_model("mistral-7b", "meta", torch.bfloat16)
    assert model.weight_bytes == 2 * 7_241_732_096
    assert round(streamed_bytes(model) / 1e9, 2) == 14.22
    assert SHAPES["mistral-7b"]["sliding_window"] == model.sliding_window == 4096


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (Goal("a", 4.0, most=4.1), True),
        (Goal("a", 4.2, most=4.1), False),
        (Goal("a", 5.0, least=4.1), True),
        (Goal("a", float("nan"), least=4.1), False),
        (Goal("a", float("nan"), most=4.1), False),
    ],
)
def test_goals(goal: Goal, met: bool) -> None:  # noqa: FBT001 - a table
    assert goal.met is met
    assert goal.as_json()["met"] is met
