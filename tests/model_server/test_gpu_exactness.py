"""The same code on CUDA: exact in float32, and a cache that is sized by what the card has left."""

import pytest
import torch
from model_server.compute.cache_size import BLOCK_SIZE, open_native_runner, step_tokens

from tests.model_server.tiny_models import Driver, generate, mistral, native, prompts, request

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

WINDOW, COUNT = 32, 40
PROMPTS = prompts(1, 3, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW, 100)


@pytest.mark.parametrize("window", [None, WINDOW])
def test_tokens_are_those_of_generate(window: int | None) -> None:
    model = mistral(sliding_window=window, device="cuda")
    asked = [request(str(len(prompt)), prompt, COUNT) for prompt in PROMPTS]
    expected = {str(len(prompt)): generate(model, prompt, COUNT) for prompt in PROMPTS}
    assert Driver(native(model), max_batch_tokens=40).run(asked) == expected


def test_the_cache_fits_beside_the_weights_and_the_largest_step() -> None:
    model = mistral(sliding_window=WINDOW, device="cuda")
    budget = step_tokens(model, max_sequences=8)
    runner = open_native_runner(model, max_model_len=1024, max_sequences=8, max_batch_tokens=budget)
    assert runner.block_count * BLOCK_SIZE >= WINDOW
    asked = [request(str(len(prompt)), prompt, COUNT) for prompt in PROMPTS]
    answers = Driver(runner, max_sequences=8, max_batch_tokens=budget).run(asked)
    assert {name: len(answer) for name, answer in answers.items()} == {
        str(len(prompt)): COUNT for prompt in PROMPTS
    }
