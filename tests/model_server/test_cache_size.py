from dataclasses import replace

import pytest
from model_server.compute.cache_size import (
    BLOCK_SIZE,
    CPU_CACHE_BYTES,
    CPU_MIXED_TOKENS,
    CPU_STEP_TOKENS,
    SMALL_MODEL_MIXED_TOKENS,
    free_bytes,
    largest_step,
    mixed_step_tokens,
    open_native_runner,
    step_tokens,
)
from model_server.compute.model import SMALL_MODEL_BYTES
from model_server.compute.runner import CacheSize, NativeRunner
from model_server.engine.batch import Drawn
from model_server.engine.request import InvalidRequest

from tests.model_server.tiny_models import mistral


def test_on_a_cpu_the_cache_holds_every_sequence_at_its_longest() -> None:
    runner = open_native_runner(mistral(), max_model_len=256, max_sequences=4, max_batch_tokens=64)
    assert runner.block_count == 4 * 256 // BLOCK_SIZE


def test_a_window_makes_it_smaller() -> None:
    runner = open_native_runner(
        mistral(sliding_window=32), max_model_len=1024, max_sequences=4, max_batch_tokens=64
    )
    assert runner.block_count == 4 * 3  # ceil((31 + 64) / 64) + 1


def test_it_is_bounded_but_never_smaller_than_one_sequence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("model_server.compute.cache_size.CPU_CACHE_BYTES", 1)
    runner = open_native_runner(mistral(), max_model_len=1024, max_sequences=4, max_batch_tokens=64)
    assert runner.block_count == 1024 // BLOCK_SIZE
    assert runner.block_count * BLOCK_SIZE * mistral().kv_bytes_per_token < CPU_CACHE_BYTES


def test_a_context_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="max_model_len"):
        open_native_runner(mistral(), max_model_len=1025, max_sequences=1, max_batch_tokens=64)


@pytest.mark.parametrize(
    ("sequences", "tokens"), [(1, CPU_STEP_TOKENS), (256, CPU_STEP_TOKENS), (400, 800)]
)
def test_a_step_always_leaves_room_for_prompts(sequences: int, tokens: int) -> None:
    assert step_tokens(mistral(), sequences) == tokens


@pytest.mark.parametrize(
    ("weight_bytes", "sequences", "tokens"),
    [
        (SMALL_MODEL_BYTES - 1, 1, SMALL_MODEL_MIXED_TOKENS),
        (SMALL_MODEL_BYTES - 1, 400, 800),
        (SMALL_MODEL_BYTES, 1, CPU_MIXED_TOKENS),
        (SMALL_MODEL_BYTES, 32, CPU_MIXED_TOKENS),
        (SMALL_MODEL_BYTES, 33, 66),
    ],
)
def test_a_step_beside_those_who_decode_is_smaller(
    weight_bytes: int, sequences: int, tokens: int
) -> None:
    model = replace(mistral(), weight_bytes=weight_bytes)
    assert mixed_step_tokens(model, sequences) == tokens <= step_tokens(model, sequences)


@pytest.mark.parametrize(
    ("longest", "budget", "window", "start", "first_block", "blocks"),
    [(1000, 64, None, 936, 0, 16), (1000, 64, 100, 936, 13, 3), (40, 64, 100, 0, 0, 1)],
)
def test_the_step_that_is_tried_ends_the_longest_sequence(
    longest: int, budget: int, window: int | None, start: int, first_block: int, blocks: int
) -> None:
    """A chunk at the start of a prompt would need a fraction of the memory."""
    (item,) = largest_step(longest, budget, window).items
    assert (item.start, item.end) == (start, longest)
    assert (item.first_block, len(item.block_ids)) == (first_block, blocks)
    assert (item.first_block + len(item.block_ids)) * BLOCK_SIZE >= longest


@pytest.mark.parametrize("window", [None, 100])
def test_it_can_be_computed_with_a_single_block(window: int | None) -> None:
    size = CacheSize(block_size=BLOCK_SIZE, block_count=1)
    runner = NativeRunner(mistral(sliding_window=window), size, max_model_len=600)
    (outcome,) = runner.step(largest_step(600, 64, window))
    assert isinstance(outcome, Drawn)


def test_what_a_process_may_take_is_bounded_by_card_and_by_share() -> None:
    assert free_bytes(free=100, allowed=16, reserved=14) == 2
    assert free_bytes(free=1, allowed=16, reserved=14) == 1
