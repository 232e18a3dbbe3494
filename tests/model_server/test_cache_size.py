import pytest
from model_server.cache_size import (
    BLOCK_SIZE,
    CPU_CACHE_BYTES,
    CPU_STEP_TOKENS,
    open_native_runner,
    step_tokens,
)
from model_server.request import InvalidRequest

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
    monkeypatch.setattr("model_server.cache_size.CPU_CACHE_BYTES", 1)
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
