"""
Work out how many blocks the cache gets.

On a CPU the cache is as large as all sequences at their longest need, within a bound. On a GPU it
is what is left of the card: one step of the largest size is computed first, so that the memory that
a step needs on its way is known and not guessed, and all the rest becomes cache.
"""

from collections import Counter

import torch

from model_server.compute.checkpoint import BadCheckpoint
from model_server.compute.forward import Path, choose_path
from model_server.compute.model import LoadedModel
from model_server.compute.runner import CacheSize, NativeRunner, check_context
from model_server.engine.batch import Batch, BatchItem
from model_server.engine.history import History
from model_server.engine.kv import blocks_for, first_needed, most_blocks
from model_server.engine.request import SamplingParameters
from model_server.settings import FAST_PATHS, FastPaths

BLOCK_SIZE = 64
CPU_CACHE_BYTES = 2**30
# Beside the cache, for copies of what sequences that decode read: see layer_cache.py.
NEAR_BYTES = 2**28
# Tokens per step: on a GPU a chunk of this size takes about as long as two or three steps that only
# decode, so a long prompt is not felt by those who wait for their next token. On a CPU it would be,
# so a step in which somebody decodes is smaller there: as long as four that only decode.
# Source: docs/log.md, 2026-11-22.
CPU_STEP_TOKENS = 512
SMALL_MODEL_MIXED_TOKENS = 256
CPU_MIXED_TOKENS = 64
GPU_STEP_TOKENS = 1024
# Of a card, for what no counter shows: the driver's context, fragmentation.
GPU_SLACK_BYTES = 512 * 2**20


def open_native_runner(
    model: LoadedModel,
    *,
    max_model_len: int,
    max_sequences: int,
    max_batch_tokens: int,
    fast_paths: FastPaths = FAST_PATHS,
) -> NativeRunner:
    """
    Make a runner with as much cache as is useful and fits.

    Raises:
        InvalidRequest: If max_model_len passes the model's context.
        BadCheckpoint: If not even one sequence fits beside the weights.
    """
    check_context(model, max_model_len)
    path = choose_path(model, fast_paths)
    longest = most_blocks(
        max_model_len,
        step_tokens=max_batch_tokens,
        block_size=BLOCK_SIZE,
        window=model.sliding_window,
    )
    useful = longest * max_sequences
    block_bytes = BLOCK_SIZE * model.kv_bytes_per_token
    if model.device.type == "cpu":
        count = max(longest, min(useful, CPU_CACHE_BYTES // block_bytes))
    else:
        count = min(useful, _room(model, max_model_len, max_batch_tokens, path))
        if count < longest:
            raise BadCheckpoint(
                f"the GPU has room for {max(0, count * BLOCK_SIZE):,} tokens beside the weights, "
                f"one sequence of {max_model_len:,} needs {longest * BLOCK_SIZE:,}: lower "
                "--max-model-len or take a larger GPU"
            )
    size = CacheSize(
        block_size=BLOCK_SIZE,
        block_count=count,
        near_rows=max_sequences,
        near_cells=near_cells(model, max_model_len, max_sequences),
    )
    return NativeRunner(
        model, size, max_model_len=max_model_len, path=path, graph_rows=max_sequences
    )


def near_cells(model: LoadedModel, max_model_len: int, max_sequences: int) -> int:
    """Say how many cells each sequence gets near by, on a CPU: all that it reads, or what fits."""
    if model.device.type != "cpu":
        return 0
    useful = min(max_model_len, model.sliding_window or max_model_len)
    return min(useful, NEAR_BYTES // (max_sequences * model.kv_bytes_per_token))


def step_tokens(model: LoadedModel, max_sequences: int) -> int:
    """Say how many tokens a step should compute at most."""
    usual = CPU_STEP_TOKENS if model.device.type == "cpu" else GPU_STEP_TOKENS
    return max(usual, 2 * max_sequences)


def mixed_step_tokens(model: LoadedModel, max_sequences: int) -> int:
    """Say how many tokens a step should compute at most where somebody decodes."""
    if model.device.type != "cpu":
        return step_tokens(model, max_sequences)
    usual = SMALL_MODEL_MIXED_TOKENS if model.is_small else CPU_MIXED_TOKENS
    return max(usual, 2 * max_sequences)


def _room(model: LoadedModel, longest: int, max_batch_tokens: int, path: Path) -> int:
    """Count the blocks that fit beside weights and the largest step, on the fullest GPU."""
    devices = Counter(model.layer_devices)
    size = CacheSize(block_size=BLOCK_SIZE, block_count=1)
    trial = NativeRunner(model, size, max_model_len=longest, path=path)
    before = {device: torch.cuda.memory_allocated(device) for device in devices}
    for device in devices:
        torch.cuda.reset_peak_memory_stats(device)
    trial.step(largest_step(longest, max_batch_tokens, model.sliding_window))
    peak = {device: torch.cuda.max_memory_allocated(device) for device in devices}
    del trial
    torch.cuda.empty_cache()
    block_bytes = BLOCK_SIZE * model.kv_bytes_per_token
    rooms = []
    for device, layers in devices.items():
        free, total = torch.cuda.mem_get_info(device)
        left = free_bytes(
            int(free),
            int(total * torch.cuda.get_per_process_memory_fraction(device)),
            torch.cuda.memory_reserved(device),
        )
        left -= peak[device] - before[device] + GPU_SLACK_BYTES
        rooms.append(left * len(model.layer_devices) // (block_bytes * layers))
    return min(rooms)


def free_bytes(free: int, allowed: int, reserved: int) -> int:
    """Say what a process may still take: what the card has, and what it was told to stay within."""
    return min(free, allowed - reserved)


def largest_step(longest: int, max_batch_tokens: int, window: int | None) -> Batch:
    """
    Make the step that needs the most memory: the last chunk of the longest sequence.

    All its blocks are block 0, so that it can be tried before there is a cache. What it computes
    means nothing.
    """
    count = min(max_batch_tokens, longest)
    start = longest - count
    first_block = first_needed(start, window) // BLOCK_SIZE
    item = BatchItem(
        request_id="trial",
        start=start,
        token_ids=(0,) * count,
        first_block=first_block,
        block_ids=(0,) * (blocks_for(longest, BLOCK_SIZE) - first_block),
        samples=True,
        sampling=SamplingParameters(max_tokens=1, temperature=0),
        history=History((0,) * longest),
    )
    return Batch(items=(item,))
