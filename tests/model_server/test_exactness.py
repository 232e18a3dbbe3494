"""
The native engine answers as transformers' `generate` does, token for token, in float32: whatever
else runs, however prompts are cut, whoever joins, leaves or gives way.
"""

import itertools
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import torch
from model_server.compute import attention
from model_server.compute.model import LoadedModel
from model_server.compute.reference_runner import ReferenceRunner
from model_server.engine.batch import OutOfMemory
from model_server.engine.request import FinishReason, InvalidRequest, Request

from tests.model_server.tiny_models import (
    Driver,
    generate,
    mistral,
    mixtral,
    native,
    prompts,
    request,
)

WINDOW = 32
COUNT = 40  # past the window, from the shortest prompt on
LENGTHS = (1, 3, WINDOW - 1, WINDOW, WINDOW + 1, 47, 2 * WINDOW, 100)
PROMPTS = prompts(*LENGTHS)


@pytest.fixture(scope="module", params=[None, WINDOW], ids=["full", "window"])
def model(request: pytest.FixtureRequest) -> LoadedModel:
    return mistral(sliding_window=request.param)


@pytest.fixture(scope="module")
def expected(model: LoadedModel) -> dict[str, list[int]]:
    return {str(len(prompt)): generate(model, prompt, COUNT) for prompt in PROMPTS}


def everyone(count: int = COUNT) -> list[Request]:
    return [request(str(len(prompt)), prompt, count) for prompt in PROMPTS]


def test_one_at_a_time(model: LoadedModel, expected: dict[str, list[int]]) -> None:
    driver = Driver(native(model), max_sequences=1, max_batch_tokens=200)
    assert driver.run(everyone()) == expected


@pytest.mark.parametrize("block_size", [1, 5, 16, 64])
@pytest.mark.parametrize("max_batch_tokens", [17, 33, 64, 500])
def test_all_together_with_prompts_cut_anywhere(
    model: LoadedModel,
    expected: dict[str, list[int]],
    block_size: int,
    max_batch_tokens: int,
) -> None:
    runner = native(model, block_size=block_size, block_count=2000 // block_size)
    driver = Driver(runner, max_batch_tokens=max_batch_tokens)
    assert driver.run(everyone()) == expected


def test_late_joiners(model: LoadedModel, expected: dict[str, list[int]]) -> None:
    driver = Driver(native(model), max_batch_tokens=40)
    for asked in everyone():
        driver.scheduler.add(asked)
        for _ in range(5):
            driver.step()
    assert driver.run() == expected


def test_preempted_and_resumed(model: LoadedModel, expected: dict[str, list[int]]) -> None:
    driver = Driver(native(model, block_size=4, block_count=44), max_batch_tokens=40)
    assert driver.run(everyone()) == expected
    assert driver.scheduler.preemptions > 0


def test_some_are_read_near_by_and_some_from_their_blocks(
    model: LoadedModel, expected: dict[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: Counter[str] = Counter()

    def counted(name: str, plain: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def call(*arguments: object) -> torch.Tensor:
            seen[name] += 1
            return plain(*arguments)

        return call

    for name in ("_near", "_decode"):
        monkeypatch.setattr(attention, name, counted(name, getattr(attention, name)))
    assert Driver(native(model)).run(everyone()) == expected
    assert min(seen["_near"], seen["_decode"]) > COUNT


def test_a_step_that_stopped_half_way_is_done_again_whole(
    model: LoadedModel, expected: dict[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some layers have the rows of that step, others do not."""
    plain, calls = attention._near, itertools.count()

    def stumble(*arguments: Any) -> torch.Tensor:  # noqa: ANN401 - handed on
        if next(calls) % 7 == 5:
            raise OutOfMemory("out of memory: tried to allocate 2 GiB")
        return plain(*arguments)

    monkeypatch.setattr(attention, "_near", stumble)
    driver = Driver(native(model), max_batch_tokens=40)
    for asked in everyone():
        driver.scheduler.add(asked)
    while driver.scheduler.running or driver.scheduler.waiting:
        with suppress(OutOfMemory):
            driver.step()
    assert driver.answers == expected
    assert next(calls) > 7 * COUNT // 3


def test_cancelled_neighbours(model: LoadedModel, expected: dict[str, list[int]]) -> None:
    driver = Driver(native(model, block_count=60), max_batch_tokens=40)
    for number, asked in enumerate(everyone()):
        driver.scheduler.add(asked)
        driver.scheduler.add(request(f"neighbour {number}", PROMPTS[-1 - number], COUNT))
    for number in range(len(PROMPTS)):
        for _ in range(3):
            driver.step()
        driver.scheduler.cancel(f"neighbour {number}")
    answers = driver.run()
    assert {name: answers[name] for name in expected} == expected


def test_the_reference_runner(model: LoadedModel, expected: dict[str, list[int]]) -> None:
    runner = ReferenceRunner(model, max_model_len=512)
    driver = Driver(runner, max_sequences=1, max_batch_tokens=513)
    assert driver.run(everyone()) == expected


def test_sampled_answers_agree_too_and_do_not_depend_on_the_batch(model: LoadedModel) -> None:
    settings = {"temperature": 0.8, "top_p": 0.9, "top_k": 50}
    asked = [
        request(str(len(prompt)), prompt, 12, seed=len(prompt), **settings) for prompt in PROMPTS
    ]
    reference = Driver(
        ReferenceRunner(model, max_model_len=512), max_sequences=1, max_batch_tokens=513
    ).run(asked)
    alone = Driver(native(model), max_sequences=1).run(asked)
    together = Driver(native(model, block_size=4, block_count=60)).run(asked)
    assert reference == alone == together
    others = Driver(native(model)).run(
        [request(a.request_id, a.prompt_ids, 12, seed=7, **settings) for a in asked]
    )
    assert others != together


PENALTIES = {
    "temperature": 0.9,
    "min_p": 0.02,
    "repetition_penalty": 1.2,
    "presence_penalty": 0.6,
    "frequency_penalty": 0.4,
    "logit_bias": ((7, 3.0), (11, -100.0)),
    "logprobs": 2,
}


def test_penalties_and_log_probabilities_survive_preemption_and_company(
    model: LoadedModel,
) -> None:
    """What was generated counts the same, however often it was computed, whoever runs beside."""
    asked = [
        request(str(len(prompt)), prompt, 12, **{"seed": len(prompt), **PENALTIES})
        for prompt in PROMPTS
    ]
    runner = ReferenceRunner(model, max_model_len=512)
    reference = Driver(runner, max_sequences=1, max_batch_tokens=513)
    wanted = reference.run(asked)
    driver = Driver(native(model, block_size=4, block_count=42), max_batch_tokens=40)
    assert driver.run(asked) == wanted
    assert driver.scheduler.preemptions > 0
    for name, outputs in reference.outputs.items():
        expected = [entry for output in outputs for entry in output.logprobs]
        seen = [entry for output in driver.outputs[name] for entry in output.logprobs]
        assert [e.logprob for e in seen] == pytest.approx([e.logprob for e in expected], abs=1e-3)
        assert [[t for t, _ in e.top] for e in seen] == [[t for t, _ in e.top] for e in expected]


@pytest.fixture(scope="module")
def experts() -> LoadedModel:
    return mixtral()


@pytest.fixture(scope="module")
def expected_of_experts(experts: LoadedModel) -> dict[str, list[int]]:
    return {str(len(prompt)): generate(experts, prompt, 24) for prompt in PROMPTS}


@pytest.mark.parametrize(("block_size", "max_batch_tokens"), [(5, 17), (16, 40), (64, 500)])
def test_a_mixture_of_experts(
    experts: LoadedModel,
    expected_of_experts: dict[str, list[int]],
    block_size: int,
    max_batch_tokens: int,
) -> None:
    runner = native(experts, block_size=block_size, block_count=2000 // block_size)
    driver = Driver(runner, max_batch_tokens=max_batch_tokens)
    assert driver.run(everyone(24)) == expected_of_experts


def test_a_mixture_of_experts_preempted_late_and_cached(
    experts: LoadedModel, expected_of_experts: dict[str, list[int]]
) -> None:
    driver = Driver(native(experts, block_size=4, block_count=42), max_batch_tokens=40)
    for asked in everyone(24):
        driver.scheduler.add(asked)
        driver.step()
    assert driver.run() == expected_of_experts
    assert driver.scheduler.preemptions > 0
    roomy = Driver(native(experts, block_size=4), max_batch_tokens=40)
    roomy.run([request("before", PROMPTS[-1], 1)])
    assert roomy.run(everyone(24)) == {
        **expected_of_experts,
        "before": [roomy.answers["before"][0]],
    }
    assert roomy.scheduler.prefix_tokens_found == 96


def test_two_runners_on_two_models_do_not_meet() -> None:
    """Nothing of a batch lives outside the runner."""
    full, windowed = mistral(), mistral(sliding_window=WINDOW)
    expected = [generate(m, PROMPTS[-1], COUNT) for m in (full, windowed)]
    drivers = [Driver(native(m, block_size=8)) for m in (full, windowed)]
    for driver in drivers:
        driver.scheduler.add(request("a", PROMPTS[-1], COUNT))
    for _ in range(COUNT + len(PROMPTS[-1])):
        for driver in drivers:
            driver.step()
    assert [driver.answers["a"] for driver in drivers] == expected
    assert expected[0] != expected[1]


@pytest.mark.parametrize("max_model_len", [0, 1025])
def test_a_context_longer_than_the_models_is_refused(max_model_len: int) -> None:
    with pytest.raises(InvalidRequest, match="1 to 1024"):
        native(mistral(), max_model_len=max_model_len)
    with pytest.raises(InvalidRequest, match="1 to 1024"):
        ReferenceRunner(mistral(), max_model_len=max_model_len)


def test_the_reference_runner_refuses_a_part_of_a_prompt() -> None:
    driver = Driver(ReferenceRunner(mistral(), max_model_len=64), max_batch_tokens=20)
    driver.scheduler.add(request("a", PROMPTS[3], 4))
    with pytest.raises(ValueError, match="raise max_batch_tokens"):
        driver.step()


def test_a_sequence_that_goes_wrong_fails_alone_and_does_not_spoil_the_cache() -> None:
    """Nothing of it may reach its neighbour, nor the sequence that is given its blocks next."""
    model = mistral()
    expected = generate(model, PROMPTS[2], COUNT)
    poison = next(token for token in range(3, 500) if token not in {*PROMPTS[2], *expected})
    embedding = next(model.module.parameters())
    with torch.no_grad():
        embedding[poison] = torch.nan
    driver = Driver(native(model, block_count=10), max_batch_tokens=40)
    driver.scheduler.add(request("neighbour", PROMPTS[2], COUNT))
    driver.scheduler.add(request("poisoned", (poison,) * 70, 10))
    answers = driver.run()
    (failure,) = driver.outputs["poisoned"]
    assert failure.finish_reason is FinishReason.ERROR
    assert "not finite" in str(failure.error)
    assert answers["neighbour"] == expected
    assert driver.run([request("sound", PROMPTS[2], COUNT)])["sound"] == expected
    driver.run([request("again", (poison,) * 70, 10)])
    assert driver.outputs["again"][0].finish_reason is FinishReason.ERROR
