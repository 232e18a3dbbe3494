"""
Few products instead of many, on the weights of the same modules: only the speed may change.

That the tokens are those of `generate` is tried in test_exactness.py and its sister with adapters,
which run on the fast path; here it stands beside its twin, transformers' own forward.
"""

from typing import Any

import pytest
import torch
from model_server.compute.fused import TORCH, FusedDecoder, can_be_fused, joined
from model_server.settings import FastPaths
from torch import nn

from tests.model_server.tiny_models import (
    Driver,
    generate,
    mistral,
    mixtral,
    native,
    prompts,
    request,
)

WINDOW, COUNT = 32, 40
PROMPTS = prompts(1, WINDOW - 1, WINDOW + 1, 100)


@pytest.mark.parametrize("window", [None, WINDOW])
def test_both_forwards_say_the_same(window: int | None) -> None:
    model = mistral(sliding_window=window)
    asked = [request(str(len(prompt)), prompt, COUNT, logprobs=3) for prompt in PROMPTS]
    drivers = {
        paths: Driver(native(model, block_size=5, fast_paths=paths), max_batch_tokens=33)
        for paths in (FastPaths.OFF, FastPaths.FUSED)
    }
    first, second = (driver.run(asked) for driver in drivers.values())
    assert first == second
    for name in first:
        seen = [
            [entry.logprob for output in driver.outputs[name] for entry in output.logprobs]
            for driver in drivers.values()
        ]
        assert seen[0] == pytest.approx(seen[1], abs=1e-4)


def test_the_modules_keep_their_names_and_values_and_nothing_is_kept_twice() -> None:
    module: Any = mistral().module
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    FusedDecoder(module, TORCH, None)
    after = module.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    attention = module.model.layers[0].self_attn
    storages = {
        getattr(attention, name).weight.untyped_storage().data_ptr()
        for name in ("q_proj", "k_proj", "v_proj")
    }
    assert len(storages) == 1
    storage = attention.q_proj.weight.untyped_storage()
    assert storage.nbytes() == 4 * sum(
        getattr(attention, name).weight.numel() for name in ("q_proj", "k_proj", "v_proj")
    )


def test_weights_that_lie_together_are_not_copied_again() -> None:
    parts = [nn.Linear(4, rows, bias=False) for rows in (3, 1, 2)]
    expected = torch.cat([part.weight.detach() for part in parts])
    whole = joined(parts)
    assert torch.equal(whole, expected)
    again = joined(parts)
    assert again.data_ptr() == whole.data_ptr()
    assert torch.equal(again, expected)
    with torch.no_grad():
        parts[1].weight.fill_(7)  # as a merged adapter does, after the fact
    assert (again[3] == 7).all()


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2)])
def test_weights_in_another_order_are_laid_anew(order: tuple[int, ...]) -> None:
    parts = [nn.Linear(4, rows, bias=False) for rows in (3, 1, 2)]
    joined(parts)
    chosen = [parts[index] for index in order]
    expected = torch.cat([part.weight.detach() for part in chosen])
    assert torch.equal(joined(chosen), expected)


def test_transformers_own_loop_goes_on_with_the_joined_weights() -> None:
    model = mistral()
    before = generate(model, PROMPTS[1], COUNT)
    runner = native(model)
    assert generate(model, PROMPTS[1], COUNT) == before
    assert Driver(runner).run([request("a", PROMPTS[1], COUNT)])["a"] == before


def test_only_a_known_model_on_one_device_is_fused() -> None:
    assert can_be_fused(mistral().module)
    assert not can_be_fused(mixtral().module)
    spread: Any = mistral().module
    spread.lm_head.to("meta")
    assert not can_be_fused(spread)
    gelu: Any = mistral().module
    gelu.config.hidden_act = "gelu"
    assert not can_be_fused(gelu)


def test_transformers_computes_all_experts_at_once() -> None:
    """So a mixture of experts needs no path of ours to be spared a loop over experts."""
    module: Any = mixtral().module
    assert module.config._experts_implementation == "grouped_mm"
