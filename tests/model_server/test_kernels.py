"""
Every kernel against its twin, and through the compiler, without a GPU.

Triton's interpreter runs the kernels' own source on a CPU: indices, masks, borders and arithmetic
are tried, in float32 and float16 (its BF16 is not a GPU's). That a card computes the same is tried
by `cases.compare` on the card, at each start of a server and before each benchmark.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from model_server.compute.attention import (
    DecodePart,
    DecodeRows,
    PromptChunk,
    StepContext,
    attend_step,
    visible,
)
from model_server.compute.kernels import twins
from model_server.compute.kernels.cases import Comparison
from model_server.compute.layer_cache import Gathered, LayerCache

from tests.model_server.kernel_report import SHAPES, TARGETS

ROOT = Path(__file__).parents[2]
# Source: CUDA C++ programming guide, shared memory per block by compute capability, bytes.
SHARED = {80: 101_376, 90: 232_448}  # the first is of an A10G (8.6): an A100 has more


def report(what: str, cache: Path, **environment: str) -> Any:  # noqa: ANN401 - JSON
    inherited = {**os.environ, "TRITON_CACHE_DIR": str(cache)}  # noqa: TID251 - handed on
    ran = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-m", "tests.model_server.kernel_report", what],
        cwd=ROOT,
        env={**inherited, **environment},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401 - JSON
    return report("interpret", tmp_path_factory.mktemp("triton"), TRITON_INTERPRET="1")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("shape", SHAPES)
def test_kernels_compute_what_their_twins_do(interpreted: Any, shape: str) -> None:  # noqa: ANN401
    seen = interpreted[shape]
    assert {case["name"].partition(" ")[0].rstrip(":") for case in seen} == {
        "rms_norm",
        "add_rms_norm",
        "silu_mul",
        "rotate_and_store",
        "attend_tokens",
        "attend_chunk",
    }
    assert [case for case in seen if not case["agrees"]] == []


@pytest.mark.timeout(400)
def test_kernels_compile_and_fit_each_card(tmp_path: Path) -> None:
    sizes = report("compile", tmp_path)
    assert len(sizes) == 9 * len(TARGETS)
    for name, size in sizes.items():
        assert size <= SHARED[int(name.rpartition("_")[2])], name


@pytest.mark.parametrize(("error", "agrees"), [(0.1, True), (0.3, False), (float("nan"), False)])
def test_what_is_no_number_does_not_agree(error: float, agrees: bool) -> None:  # noqa: FBT001
    assert Comparison(name="a", error=error, bound=0.2).agrees is agrees


@pytest.mark.parametrize("window", [None, 7])
def test_the_twins_of_attention_are_what_the_engine_computes(window: int | None) -> None:
    """So kernel, twin and the masked attention of the CPU are three ways to one answer."""
    torch.manual_seed(0)
    heads, heads_kv, size, block = 6, 2, 8, 4
    keys, values = torch.randn(2, 30, block, heads_kv, size)
    query = torch.randn(3 + 5, heads, size)
    positions, first = torch.tensor([0, 6, 13]), torch.tensor([0, 0, 4])
    tables, table = torch.randperm(30)[:12].view(3, 4), torch.tensor([3, 5, 9])
    chunk_first, chunk_at = 8, 12
    mask = visible(first, positions, 16, window)[:, None, None]
    part = DecodePart(begin=0, end=3, blocks=tables, mask=mask)
    rows = DecodeRows(blocks=tables, first_positions=first, positions=positions, parts=(part,))
    chunk = PromptChunk(
        begin=3,
        end=8,
        blocks=table[None],
        first_position=chunk_first,
        position=chunk_at,
        mask=visible(
            torch.full((5,), chunk_first), torch.arange(chunk_at, chunk_at + 5), 12, window
        ),
    )
    layer = LayerCache(keys=keys, values=values, gathered=Gathered())
    step = StepContext(layers=[layer], window=window, slots=positions, decode=rows, chunks=(chunk,))
    ours = attend_step(query, layer, step, 0.3)
    tokens = twins.attend_tokens(
        query[:3], keys, values, tables, first, positions, window=window, scaling=0.3
    )
    neighbours = twins.attend_chunk(
        query[3:],
        keys,
        values,
        table,
        first_position=chunk_first,
        position=chunk_at,
        window=window,
        scaling=0.3,
    )
    torch.testing.assert_close(ours, torch.cat([tokens, neighbours]))
