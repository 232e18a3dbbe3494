"""One stream, 64 streams, and a card held to 16 GB, each by our engine in this process."""

import time
from typing import Any

import torch
from model_server.compute.cache_size import open_native_runner, step_tokens
from model_server.compute.model import LoadedModel
from model_server.compute.runner import NativeRunner
from model_server.settings import FastPaths

from benchmarks.gpu.check import self_check
from benchmarks.gpu.goals import Goal
from benchmarks.gpu.shapes import make_model, streamed_bytes
from benchmarks.gpu.steps import copy_bytes_per_second, random_prompt, run_together, wait

HELD_BYTES = 16 * 10**9
STREAMS, LENGTH = 64, 400
PROMPTS_IN_A_STEP = 8


def single_stream(model: LoadedModel, rung: FastPaths, new_tokens: int) -> dict[str, Any]:
    """Time a step of one sequence on each rung, at two lengths, and transformers' `generate`."""
    check = self_check(model, rung)
    if not check["passed"]:
        return {"self-check": check}
    room = model.context_length - new_tokens - 1
    lengths = sorted({min(LENGTH, room // 2), min(4000, room)})
    ladder = list(FastPaths)[: list(FastPaths).index(rung) + 1]
    steps = {}
    for paths in ladder:
        runner = _runner(model, paths, lengths[-1] + new_tokens)
        for length in lengths:
            prompt = random_prompt(length, model.vocabulary_size, seed=1)
            timed = run_together(runner, [prompt], new_tokens, step_tokens(model, 1))
            steps[f"{paths.value}, {length} tokens"] = 1e3 * timed.per_step()
        del runner
        _give_back(model)
    copied = copy_bytes_per_second(model.device, 2**30 if model.device.type == "cuda" else 2**24)
    best = steps[f"{rung.value}, {lengths[0]} tokens"]
    return {
        "self-check": check,
        "milliseconds per token": steps,
        "generate, milliseconds per token": 1e3 * _generate(model, lengths[0], new_tokens),
        "copy, bytes per second": copied,
        "bytes of weights per step": streamed_bytes(model),
        "share of the copy's rate": streamed_bytes(model) / (best / 1e3) / copied,
        "goals": [
            Goal("one stream, ms per token", most=4.1, measured=best).as_json(),
        ],
    }


def many_streams(model: LoadedModel, rung: FastPaths, new_tokens: int) -> dict[str, Any]:
    """Time steps of 64 sequences that are about 400 tokens long."""
    check = self_check(model, rung)
    if not check["passed"]:
        return {"self-check": check}
    length = min(LENGTH, model.context_length - new_tokens - 1) - new_tokens // 2
    prompts = [random_prompt(length, model.vocabulary_size, seed) for seed in range(STREAMS)]
    # Eight prompts in a step, so that all streams decode before the first of them ends.
    budget = PROMPTS_IN_A_STEP * length
    runner = open_native_runner(
        model,
        max_model_len=length + new_tokens,
        max_sequences=STREAMS,
        max_batch_tokens=budget,
        fast_paths=rung,
    )
    timed = run_together(runner, prompts, new_tokens, budget)
    step = timed.per_step()
    return {
        "self-check": check,
        "graphs": runner.has_graphs,
        "whole answers": timed.answers,
        "milliseconds per step": 1e3 * step,
        "steps": len(timed.decode_seconds),
        "prefill, tokens per second": STREAMS * length / timed.prefill_seconds,
        "goals": [
            Goal("64 streams, tokens/s", least=11_000.0, measured=STREAMS / step).as_json(),
        ],
    }


def held_to_16_gb(shape: str, device: str, dtype: torch.dtype, rung: FastPaths) -> dict[str, Any]:
    """Serve one full window within the memory of a small card."""
    if device == "cuda":
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(HELD_BYTES / total)
    model = make_model(shape, device, dtype)
    window = model.sliding_window or 4096
    new_tokens = min(96, window // 4)
    runner = _runner(model, rung, window)
    prompt = random_prompt(window - new_tokens, model.vocabulary_size, seed=1)
    timed = run_together(runner, [prompt], new_tokens, step_tokens(model, 1))
    return {
        "held to, bytes": HELD_BYTES if device == "cuda" else "not held: no GPU",
        "taken at most, bytes": torch.cuda.max_memory_reserved() if device == "cuda" else None,
        "blocks of the cache": runner.block_count,
        "graphs": runner.has_graphs,
        "goals": [
            Goal(
                f"whole answers of a window of {window}", least=1.0, measured=float(timed.answers)
            ).as_json()
        ],
    }


def _runner(model: LoadedModel, rung: FastPaths, longest: int) -> NativeRunner:
    return open_native_runner(
        model,
        max_model_len=longest,
        max_sequences=1,
        max_batch_tokens=step_tokens(model, 1),
        fast_paths=rung,
    )


def _generate(model: LoadedModel, length: int, new_tokens: int) -> float:
    """Time transformers' own loop: seconds per token, from the difference of two lengths."""
    module: Any = model.module
    module.set_attn_implementation("sdpa")
    prompt = random_prompt(length, model.vocabulary_size, seed=1)
    ids = torch.tensor([prompt], device=model.device)
    seconds = []
    for count in (2, 2, 2 + new_tokens):  # the first warms up
        wait(model.device)
        began = time.perf_counter()
        with torch.inference_mode():
            module.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=count,
                min_new_tokens=count,
                do_sample=False,
                pad_token_id=0,
            )
        wait(model.device)
        seconds.append(time.perf_counter() - began)
    return (seconds[2] - seconds[1]) / new_tokens


def _give_back(model: LoadedModel) -> None:
    if model.device.type == "cuda":
        torch.cuda.empty_cache()
