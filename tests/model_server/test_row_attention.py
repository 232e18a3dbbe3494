"""Attention with one token of each sequence: numpy's products and SDPA say the same."""

import pytest
import torch
from model_server.compute import row_attention
from model_server.compute.attention import added
from model_server.compute.row_attention import MANY, SMALL, attend_rows, is_small
from torch import Tensor

from tests.model_server.tiny_models import Driver, generate, mistral, native, prompts, request

NEVER = 10**9
WINDOW = 32


def drawn(count: int, heads_kv: int, sharing: int, length: int, size: int) -> list[Tensor]:
    """Draw queries and, as rows and gathered blocks lie, keys and values head by head."""
    query = torch.randn(count + 1, heads_kv * (sharing + 2), size)[:count, : heads_kv * sharing]
    both = torch.randn(2, heads_kv, count + 2, length + 3, size)[:, :, :count, :length]
    return [query, *both.transpose(1, 2)]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "shape", [(64, 2, 2, 256, 32), (9, 2, 4, 30, 8), (16, 1, 3, 1, 16), (17, 4, 2, 61, 64)]
)
def test_numpy_computes_what_sdpa_does(
    monkeypatch: pytest.MonkeyPatch,
    shape: tuple[int, int, int, int, int],
    masked: bool,  # noqa: FBT001
) -> None:
    count, heads_kv, sharing, length, size = shape
    query, keys, values = drawn(*shape)
    ends = torch.randint(1, length + 1, (count, 1))
    mask = added(torch.arange(length) < ends, torch.float32)[:, None, None] if masked else None
    assert is_small(query.reshape(count, heads_kv, sharing, size), keys)
    by_numpy = attend_rows(query, keys, values, mask, 0.3)
    monkeypatch.setattr(row_attention, "MANY", NEVER)
    by_sdpa = attend_rows(query, keys, values, mask, 0.3)
    assert by_numpy.shape == query.shape
    torch.testing.assert_close(by_numpy, by_sdpa, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "length", "dtype", "small"),
    [
        ((64, 2, 2, 32), 256, torch.float32, True),
        ((64, 2, 2, 32), 256, torch.bfloat16, False),  # numpy has no such type
        ((MANY // 2, 2, 2, 32), 256, torch.float32, True),
        ((MANY // 2 - 1, 2, 2, 32), 256, torch.float32, False),
        ((64, 2, 1, 32), 256, torch.float32, False),
        ((16, 4, 4, 64), SMALL // 256, torch.float32, True),
        ((16, 4, 4, 64), SMALL // 256 + 1, torch.float32, False),
    ],
)
def test_which_products_are_small_and_many(
    shape: tuple[int, int, int, int],
    length: int,
    dtype: torch.dtype,
    small: bool,  # noqa: FBT001
) -> None:
    own = torch.zeros(shape, dtype=dtype)
    keys = own.new_zeros(1).expand(shape[0], shape[1], length, shape[3])
    assert is_small(own, keys) is small


@pytest.mark.parametrize("window", [None, WINDOW], ids=["full", "window"])
@pytest.mark.parametrize("many", [1, NEVER], ids=["numpy", "sdpa"])
def test_answers_are_those_of_generate_either_way(
    monkeypatch: pytest.MonkeyPatch, window: int | None, many: int
) -> None:
    monkeypatch.setattr(row_attention, "MANY", many)
    model = mistral(sliding_window=window)
    asked = {str(len(prompt)): prompt for prompt in prompts(1, 3, WINDOW, 47, 100)}
    driver = Driver(native(model, block_size=5), max_batch_tokens=33)
    answers = driver.run([request(name, prompt, 40) for name, prompt in asked.items()])
    assert answers == {name: generate(model, prompt, 40) for name, prompt in asked.items()}
