"""
Weights packed for oneDNN: the same products, the same tokens as `generate`, and nothing twice.

That they are taken for large models only, test_forward.py says; here small ones are said to be
large.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from model_server.compute.fused import TORCH, FusedDecoder
from model_server.compute.model import SMALL_MODEL_BYTES, LoadedModel
from model_server.compute.packed_linear import (
    FEWEST_ROWS,
    PackedLinear,
    WeightsArePacked,
    can_pack,
    multiply,
    pack,
)
from model_server.engine.request import Request
from torch.nn import functional

from tests.model_server.tiny_models import (
    Driver,
    generate,
    mistral,
    native,
    prompts,
    request,
)

pytestmark = pytest.mark.skipif(not can_pack(), reason="this build of torch has no oneDNN")

WINDOW, COUNT = 32, 40
PROMPTS = prompts(1, 3, WINDOW - 1, WINDOW + 1, 100)
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head")
ROWS = (1, 2, 3, 7, 16, 33, 65, 129, 600)


def large(model: LoadedModel) -> LoadedModel:
    return replace(model, weight_bytes=SMALL_MODEL_BYTES)


def asked(count: int = COUNT) -> list[Request]:
    return [request(str(len(prompt)), prompt, count) for prompt in PROMPTS]


@pytest.mark.parametrize("shape", [(1, 1), (131, 77), (96, 64), (1536, 1024), (1024, 3584)])
def test_products_are_those_of_the_plain_weight(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator)
    inputs = torch.randn((max(ROWS), shape[1]), generator=generator)
    packed = pack(weight)
    exact = inputs.double() @ weight.double().T
    for rows in ROWS:
        expected = functional.linear(inputs[:rows], weight)
        seen = multiply(inputs[:rows], packed)
        assert seen.shape == expected.shape
        bound = 2e-6 * exact.abs().max().item()  # of the largest number, as float32 rounds sums
        assert torch.allclose(seen, expected, rtol=0, atol=bound)
        assert torch.allclose(seen.double(), exact[:rows], rtol=0, atol=bound)


def test_a_row_is_the_same_by_itself_and_among_a_few() -> None:
    """Rows are filled up to four: one kernel computes them all."""
    generator = torch.Generator().manual_seed(0)
    packed = pack(torch.randn((1536, 1024), generator=generator))
    inputs = torch.randn((FEWEST_ROWS, 1024), generator=generator)
    together = multiply(inputs, packed)
    for rows in range(1, FEWEST_ROWS):
        assert torch.equal(multiply(inputs[:rows], packed), together[:rows])


def test_no_rows_are_no_rows() -> None:
    assert multiply(torch.empty((0, 4)), pack(torch.ones((3, 4)))).shape == (0, 3)


@pytest.mark.parametrize("window", [None, WINDOW], ids=["full", "window"])
def test_answers_are_those_of_generate_alone_and_together(window: int | None) -> None:
    model = mistral(sliding_window=window)
    expected = {str(len(prompt)): generate(model, prompt, COUNT) for prompt in PROMPTS}
    model = large(model)
    alone = Driver(native(model), max_sequences=1, max_batch_tokens=200)
    assert alone.run(asked()) == expected
    for block_size, tokens in ((1, 17), (5, 33), (16, 500)):
        runner = native(model, block_size=block_size, block_count=2000 // block_size)
        assert Driver(runner, max_batch_tokens=tokens).run(asked()) == expected
    driver = Driver(native(model, block_size=4, block_count=44), max_batch_tokens=40)
    assert driver.run(asked()) == expected
    assert driver.scheduler.preemptions > 0


def test_log_probabilities_are_those_of_the_plain_weights() -> None:
    with_them = [replace(one, sampling=replace(one.sampling, logprobs=3)) for one in asked(12)]
    drivers = [Driver(native(model)) for model in (mistral(), large(mistral()))]
    first, second = (driver.run(with_them) for driver in drivers)
    assert first == second
    for name in first:
        seen = [
            [entry.logprob for output in driver.outputs[name] for entry in output.logprobs]
            for driver in drivers
        ]
        assert seen[0] == pytest.approx(seen[1], abs=1e-4)


def test_the_packed_product_takes_the_place_of_the_modules_and_nothing_is_kept_twice() -> None:
    module: Any = mistral().module
    plain = sum(tensor.numel() for tensor in module.parameters())
    FusedDecoder(module, TORCH, None, is_packed=True)
    layers = module.model.layers
    left = {name.rsplit(".", 2)[-2] for name in module.state_dict()}
    assert left.isdisjoint(LINEAR)
    assert "embed_tokens" in left
    parts = [part for part in module.modules() if isinstance(part, PackedLinear)]
    assert len(parts) == 7 * len(layers) + 1
    products = {id(part.packed): part.packed for part in parts}
    assert len(products) == 4 * len(layers) + 1
    kept = sum(tensor.numel() for tensor in [*module.parameters(), *products.values()])
    assert kept == plain


def test_a_second_decoder_finds_the_packed_products() -> None:
    model = large(mistral())
    expected = Driver(native(model)).run(asked())
    before = {id(part.packed) for part in model.module.modules() if isinstance(part, PackedLinear)}
    assert Driver(native(model)).run(asked()) == expected
    after = {id(part.packed) for part in model.module.modules() if isinstance(part, PackedLinear)}
    assert before == after


def test_who_calls_a_packed_module_or_asks_for_its_weight_is_told() -> None:
    model = large(mistral())
    native(model)
    assert model.output_device == torch.device("cpu")
    with pytest.raises(WeightsArePacked, match="--fast-paths off"):
        generate(model, PROMPTS[0], 1)
    with pytest.raises(AttributeError, match="weight"):
        model.module.get_submodule("model.layers.0.mlp.up_proj").get_parameter("weight")


def test_a_head_that_shares_the_weight_of_the_embeddings_stays_plain() -> None:
    model = mistral()
    module: Any = model.module
    module.lm_head.weight = module.model.embed_tokens.weight
    expected = {str(len(prompt)): generate(model, prompt, COUNT) for prompt in PROMPTS}
    model = large(model)
    for _ in range(2):
        assert Driver(native(model)).run(asked()) == expected
    assert module.lm_head.weight is module.model.embed_tokens.weight
