"""
Layers on several devices join to one model.

There is no second device that computes here, so the border is tried with the one that has shapes
only: torch refuses to mix it with the other in any operation, so what passes has been moved whole.
"""

from typing import Any, cast

import pytest
import torch
from accelerate import dispatch_model  # type: ignore[import-untyped] # ships no types
from model_server.compute.attention import IMPLEMENTATION
from model_server.compute.forward import choose_path
from model_server.compute.layer_cache import LayerCache
from model_server.compute.placement import Mover, join, off_gpu, output_device
from model_server.compute.runner import CacheSize, NativeRunner
from model_server.settings import FastPaths
from torch import nn

from tests.model_server.tiny_models import Driver, generate, mistral, mixtral, prompts, request

(PROMPT,) = prompts(40)


@pytest.mark.parametrize("make", [mistral, mixtral])
def test_what_crosses_the_border_is_moved_whole(make: Any) -> None:  # noqa: ANN401 - one of two
    model = make()
    size = CacheSize(block_size=8, block_count=20)
    runner = NativeRunner(model, size, max_model_len=100, path=choose_path(model, FastPaths.OFF))
    base: Any = model.module.base_model
    for part in (*base.layers[2:], base.norm, cast("nn.Module", model.module.lm_head)):
        part.to("meta")
    layers = cast("list[LayerCache]", runner._cells.layers)
    third = layers[2]
    layers[2] = LayerCache(
        keys=third.keys.to("meta"), values=third.values.to("meta"), gathered=third.gathered
    )
    join(model.module)
    assert output_device(model.module) == model.output_device == torch.device("meta")
    assert model.layer_devices == (torch.device("cpu"),) * 2 + (torch.device("meta"),)
    driver = Driver(runner, max_batch_tokens=30)
    for name in "ab":
        driver.scheduler.add(request(name, PROMPT, 4))
    seen = []

    def logits_of(logits: torch.Tensor, draws: Any) -> list[Any]:  # noqa: ANN401 - not looked at
        seen.append((logits.shape, logits.device.type, len(draws)))
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("model_server.compute.runner.sample", logits_of)
        batch = driver.scheduler.schedule()
        assert batch is not None
        runner.step(batch)
    assert seen == [((0, 500), "meta", 0)]


def test_accelerates_hooks_are_taken_off_and_the_answer_stays() -> None:
    model = mistral(sliding_window=32)
    expected = generate(model, PROMPT, 20)
    names = ("model.embed_tokens", "model.layers", "model.norm", "model.rotary_emb", "lm_head")
    size = CacheSize(block_size=8, block_count=20)
    dispatched: Any = dispatch_model(model.module, dict.fromkeys(names, "cpu"), force_hooks=True)
    assert any(hasattr(part, "_hf_hook") for part in dispatched.modules())
    join(dispatched)
    assert not any(hasattr(part, "_hf_hook") for part in dispatched.modules())
    assert not any(part._forward_pre_hooks for part in dispatched.modules())  # one device: none
    runner = NativeRunner(model, size, max_model_len=100, path=choose_path(model, FastPaths.OFF))
    assert dispatched.config._attn_implementation == IMPLEMENTATION
    assert Driver(runner).run([request("a", PROMPT, 20)])["a"] == expected


def test_the_same_input_is_moved_once_per_step() -> None:
    mover, angles = Mover(torch.device("meta")), torch.ones(3)
    layers = [nn.Identity(), nn.Identity()]
    for index, layer in enumerate(layers):
        mover.attach(layer, is_first=index == 0)
    first, second, again = layers[0](angles), layers[1](angles), layers[0](angles)
    assert first is second
    assert again is not first
    assert first.device.type == "meta"


def test_parts_without_a_gpu_are_named() -> None:
    assert off_gpu({"model.layers.0": 0, "model.layers.1": "cpu", "lm_head": "disk"}) == [
        "lm_head",
        "model.layers.1",
    ]
