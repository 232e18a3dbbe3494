"""
In BF16 the order of additions shows, so tokens are not compared but logits, teacher-forced.

Bounds: measured at the real initial spread (0.02), the logits of our engine and of transformers'
own forward differ from those in FP32 by 0.8 % of their norm each; both are held to 2 %, and the
likeliest token must agree wherever the first two are further apart than the error.
"""

from typing import Any

import pytest
import torch
from model_server.compute.adjust import Draw
from model_server.compute.model import LoadedModel
from model_server.compute.runner import CacheSize, NativeRunner
from model_server.engine.batch import Drawn, Failed
from transformers import MistralConfig, MistralForCausalLM

from tests.model_server.tiny_models import SHAPE, Driver, loaded, prompts, request

WINDOW = 24
RELATIVE = 0.02
(PROMPT,) = prompts(90)


def model_in(dtype: torch.dtype) -> LoadedModel:
    torch.manual_seed(0)
    shape = {**SHAPE, "initializer_range": 0.02, "hidden_size": 128}
    module = MistralForCausalLM(MistralConfig(**shape, sliding_window=WINDOW))
    torch.nn.Module.to(module, dtype)
    return loaded(module, WINDOW, "cpu", dtype)


def forced(
    model: LoadedModel, *, budget: int, cut: int, monkeypatch: pytest.MonkeyPatch
) -> torch.Tensor:
    """Return the logits at each position from `cut` on, the known tokens fed as if drawn."""
    rows: list[torch.Tensor] = []

    def follow(logits: torch.Tensor, draws: list[Draw]) -> list[Drawn | Failed]:
        rows.extend(logits.float())  # none while the prompt is not whole
        return [Drawn(token_id=PROMPT[draw.position]) for draw in draws]

    monkeypatch.setattr("model_server.compute.runner.sample", follow)
    runner = NativeRunner(model, CacheSize(block_size=16, block_count=20), max_model_len=128)
    Driver(runner, max_batch_tokens=budget).run([request("a", PROMPT[:cut], len(PROMPT) - cut)])
    return torch.stack(rows)


def whole(model: LoadedModel, cut: int) -> torch.Tensor:
    module: Any = model.module
    module.set_attn_implementation("eager")
    with torch.inference_mode():
        logits: torch.Tensor = module(torch.tensor([PROMPT])).logits[0]
    return logits[cut - 1 : -1].float()


@pytest.mark.parametrize(("budget", "cut"), [(200, 3), (17, 60), (40, WINDOW + 1)])
def test_logits_stay_within_their_bound_of_float32(
    budget: int, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = whole(model_in(torch.float32), cut)
    ours = forced(model_in(torch.bfloat16), budget=budget, cut=cut, monkeypatch=monkeypatch)
    theirs = whole(model_in(torch.bfloat16), cut)
    for logits in (ours, theirs):
        error = (logits - exact).norm(dim=-1) / exact.norm(dim=-1)
        assert error.max() < RELATIVE
    largest = (ours - exact).abs().amax(dim=-1)
    first, second = exact.topk(2, dim=-1).values.unbind(-1)
    clear = first - second > 2 * largest
    assert clear.float().mean() > 0.5
    assert (ours.argmax(-1) == exact.argmax(-1))[clear].all()


def test_float32_is_exact_by_the_same_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_in(torch.float32)
    ours = forced(model, budget=17, cut=30, monkeypatch=monkeypatch)
    assert torch.allclose(ours, whole(model, 30), atol=1e-5)
