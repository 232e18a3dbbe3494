"""
Work out how many blocks the cache gets.

On a CPU the cache is as large as all sequences at their longest need, within a bound. On a GPU it
is what is left of the card: one step of the largest size is computed first, so that the memory that
a step needs on its way is known and not guessed, and all the rest becomes cache.
"""

from collections import Counter

import torch

from model_server.batch import Batch, BatchItem
from model_server.checkpoint import BadCheckpoint
from model_server.history import History
from model_server.kv import blocks_for, most_blocks
from model_server.model import LoadedModel
from model_server.request import SamplingParameters
from model_server.runner import CacheSize, NativeRunner
from model_server.settings import FAST_PATHS, FastPaths

BLOCK_SIZE = 64
CPU_CACHE_BYTES = 2**30
# Tokens per step: on a GPU a chunk of this size takes about as long as two or three steps that only
# decode, so a long prompt is not felt by those who wait for their next token.
CPU_STEP_TOKENS = 512
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
        count = min(useful, _room(model, max_batch_tokens, fast_paths))
        if count < longest:
            raise BadCheckpoint(
                f"the GPU has room for {max(0, count * BLOCK_SIZE):,} tokens beside the weights, "
                f"one sequence of {max_model_len:,} needs {longest * BLOCK_SIZE:,}: lower "
                "--max-model-len or take a larger GPU"
            )
    size = CacheSize(block_size=BLOCK_SIZE, block_count=count)
    return NativeRunner(model, size, max_model_len=max_model_len, fast_paths=fast_paths)


def step_tokens(model: LoadedModel, max_sequences: int) -> int:
    """Say how many tokens a step should compute at most."""
    usual = CPU_STEP_TOKENS if model.device.type == "cpu" else GPU_STEP_TOKENS
    return max(usual, 2 * max_sequences)


def _room(model: LoadedModel, max_batch_tokens: int, fast_paths: FastPaths) -> int:
    """Count the blocks that fit beside weights and the largest step, on the fullest GPU."""
    tokens = min(max_batch_tokens, model.context_length)
    size = CacheSize(block_size=BLOCK_SIZE, block_count=blocks_for(tokens, BLOCK_SIZE))
    devices = Counter(model.layer_devices)
    trial = NativeRunner(model, size, max_model_len=tokens, fast_paths=fast_paths)
    before = {device: torch.cuda.memory_allocated(device) for device in devices}
    for device in devices:
        torch.cuda.reset_peak_memory_stats(device)
    trial.step(_largest_step(tokens, size))
    peak = {device: torch.cuda.max_memory_allocated(device) for device in devices}
    del trial
    torch.cuda.empty_cache()
    block_bytes = BLOCK_SIZE * model.kv_bytes_per_token
    rooms = []
    for device, layers in devices.items():
        free, _ = torch.cuda.mem_get_info(device)
        left = int(free) - (peak[device] - before[device]) - GPU_SLACK_BYTES
        rooms.append(left * len(model.layer_devices) // (block_bytes * layers))
    return min(rooms)


def _largest_step(count: int, size: CacheSize) -> Batch:
    item = BatchItem(
        request_id="trial",
        start=0,
        token_ids=(0,) * count,
        first_block=0,
        block_ids=tuple(range(size.block_count)),
        samples=True,
        sampling=SamplingParameters(max_tokens=1, temperature=0),
        history=History((0,) * count),
    )
    return Batch(items=(item,))
