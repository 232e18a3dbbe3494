"""
Before anything is timed: do the fast paths compute what they should, on this device?

Every kernel beside its twin (`kernels.cases`), and the logits of our engine beside those of
transformers' own forward, teacher-forced: chunks of a prompt, then token by token as in decoding.
"""

from typing import Any

import torch
from model_server.compute.forward import choose_path
from model_server.compute.model import LoadedModel
from model_server.compute.runner import CacheSize, NativeRunner
from model_server.engine.batch import BatchItem
from model_server.engine.history import History
from model_server.engine.kv import blocks_for
from model_server.engine.request import SamplingParameters
from model_server.settings import FastPaths

from benchmarks.gpu.steps import random_prompt

# Of the norm of the logits. Source: measured on a CPU at this spread of weights, BF16 is 8e-3 from
# float32, for transformers' forward as for ours; docs/log.md.
BOUND = {torch.bfloat16: 2e-2, torch.float32: 1e-4}
BLOCK_SIZE = 64
FORCED = 24


def self_check(model: LoadedModel, rung: FastPaths) -> dict[str, Any]:
    """Compare, and say in `passed` whether figures of this device mean anything."""
    report: dict[str, Any] = {"rung asked": rung.value, "kernels": "no GPU"}
    passed = True
    if model.device.type == "cuda":
        from model_server.compute.kernel_operations import shape_of  # noqa: PLC0415 - imports Triton
        from model_server.compute.kernels.cases import compare  # noqa: PLC0415 - the same

        seen = list(compare(shape_of(model), model.dtype, model.device))
        report["kernels"] = {case.name: case.error for case in seen}
        passed = all(case.agrees for case in seen)
    window = model.sliding_window or 256
    worst = 0.0
    for length in (100, window + 30):
        if length + FORCED <= model.context_length:
            worst = max(worst, forced_distance(model, rung, length))
    report["logits, distance from transformers' forward"] = worst
    report["bound"] = BOUND[model.dtype]
    report["passed"] = passed and worst <= BOUND[model.dtype]
    return report


def forced_distance(model: LoadedModel, rung: FastPaths, length: int) -> float:
    """Feed a known text and compare the logits of its end: the largest relative distance."""
    text = random_prompt(length + FORCED, model.vocabulary_size, seed=length)
    theirs = _whole(model, text)[length - 1 :].float()  # (FORCED + 1, V)
    blocks = blocks_for(len(text), BLOCK_SIZE)
    size = CacheSize(block_size=BLOCK_SIZE, block_count=blocks)
    runner = NativeRunner(
        model, size, max_model_len=len(text), path=choose_path(model, rung), graph_rows=2
    )
    rows = []
    with torch.inference_mode():
        # In two chunks, so that the second reads what the first has stored.
        half = length // 2
        runner.logits([_item(text, 0, half, blocks)])
        logits = runner.logits([_item(text, half, length, blocks)])
        rows.append(logits[0].float().clone())
        for start in range(length, len(text)):
            logits = runner.logits([_item(text, start, start + 1, blocks)])
            rows.append(logits[0].float().clone())
    ours = torch.stack(rows)
    return float(((ours - theirs).norm(dim=-1) / theirs.norm(dim=-1)).max())


def _whole(model: LoadedModel, text: tuple[int, ...]) -> torch.Tensor:
    module: Any = model.module
    module.set_attn_implementation("sdpa")
    with torch.inference_mode():
        logits: torch.Tensor = module(torch.tensor([text], device=model.device)).logits[0]
    return logits


def _item(text: tuple[int, ...], start: int, end: int, blocks: int) -> BatchItem:
    return BatchItem(
        request_id="check",
        start=start,
        token_ids=text[start:end],
        first_block=0,
        block_ids=tuple(range(blocks)),
        samples=True,
        sampling=SamplingParameters(max_tokens=1, temperature=0),
        history=History(text[:end]),
    )
