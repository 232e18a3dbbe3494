import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_server.compute.adjust import Draw
from model_server.compute.sampling import sample as outcomes_of
from model_server.compute.sampling import uniform
from model_server.engine.batch import Drawn, Failed
from model_server.engine.history import History
from model_server.engine.request import SamplingParameters
from transformers import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)


def draw(position: int = 0, **sampling: float) -> Draw:
    parameters: dict[str, Any] = {"max_tokens": 1, "seed": 0, **sampling}
    return Draw(sampling=SamplingParameters(**parameters), history=History((0,) * position))


def sample(logits: torch.Tensor, draws: Sequence[Draw]) -> list[int]:
    outcomes = outcomes_of(logits, draws)
    assert all(isinstance(outcome, Drawn) for outcome in outcomes)
    return [outcome.token_id for outcome in outcomes if isinstance(outcome, Drawn)]


def logits_of(rows: int, vocabulary: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(rows, vocabulary, generator=generator)


def reference(logits: torch.Tensor, how: Draw) -> torch.Tensor:
    """Work out the distribution of one row with transformers' own filters: (V,) -> (V,)."""
    ids, scores, sampling = torch.empty(1, 0, dtype=torch.long), logits[None].double(), how.sampling
    if sampling.temperature != 1:
        scores = TemperatureLogitsWarper(sampling.temperature)(ids, scores)
    if sampling.top_k:
        scores = TopKLogitsWarper(sampling.top_k)(ids, scores)
    if sampling.top_p < 1:
        scores = TopPLogitsWarper(sampling.top_p)(ids, scores)
    if sampling.min_p:
        least = sampling.min_p
        scores = MinPLogitsWarper(least)(ids, scores)  # type: ignore[arg-type] # means LongTensor
    return scores.softmax(dim=-1)[0]


def test_temperature_zero_is_an_argmax() -> None:
    logits = logits_of(8, 500)
    assert sample(logits, [draw(temperature=0, top_p=0.5)] * 8) == logits.argmax(-1).tolist()


def test_equal_logits_go_to_the_lower_token() -> None:
    logits = torch.zeros(1, 400)
    assert sample(logits, [draw(temperature=0)]) == [0]
    assert sample(logits, [draw(top_k=1)]) == [0]


@pytest.mark.parametrize("temperature", [0, 1])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_no_numbers_fail_their_row_and_no_other(
    value: float, temperature: float
) -> None:
    logits = logits_of(3, 50)
    logits[1, 7] = value
    first, second, third = outcomes_of(logits, [draw(temperature=temperature)] * 3)
    assert isinstance(second, Failed)
    assert "not finite" in second.error
    assert [first, third] == outcomes_of(logits[[0, 2]], [draw(temperature=temperature)] * 2)


def test_tokens_that_are_ruled_out_may_be_minus_infinity() -> None:
    logits = torch.full((1, 50), -math.inf)
    logits[0, 7] = 0
    assert sample(logits, [draw()]) == sample(logits, [draw(top_p=0.5)]) == [7]


@pytest.mark.parametrize("temperature", [1e-30, 1e-5, 1e-3])
def test_a_temperature_near_zero_is_greedy_and_finite(temperature: float) -> None:
    logits = logits_of(4, 100)
    assert sample(logits, [draw(temperature=temperature)] * 4) == logits.argmax(-1).tolist()


@pytest.mark.parametrize(
    "how",
    [
        draw(),
        draw(temperature=0.7),
        draw(temperature=2.0),
        draw(top_k=5),
        draw(top_p=0.8),
        draw(top_k=20, top_p=0.9, temperature=1.3),
        draw(top_p=0.01),
        draw(min_p=0.1),
        draw(min_p=0.3, top_k=20, top_p=0.99, temperature=1.5),
        draw(min_p=1.0),
    ],
)
def test_frequencies_are_those_of_transformers_filters(how: Draw) -> None:
    """Draw 4,000 times; a fixed seed, so the outcome is fixed as well."""
    count, logits = 4000, logits_of(1, 40)
    expected = reference(logits[0], how)
    draws = [Draw(sampling=how.sampling, history=History((0,) * i)) for i in range(count)]
    tokens = torch.tensor(sample(logits.expand(count, -1), draws))
    seen = torch.bincount(tokens, minlength=40) / count
    assert seen[expected == 0].sum() == 0
    error = (expected * (1 - expected) / count).sqrt()
    assert ((seen - expected).abs() <= 4 * error + 1e-9).all()


@settings(max_examples=60, deadline=None)
@given(
    temperature=st.floats(0.05, 4),
    top_p=st.floats(0.01, 1),
    top_k=st.integers(0, 700),
    min_p=st.just(0.0) | st.floats(0, 1),
    seed=st.integers(0, 2**63),
    vocabulary=st.sampled_from([3, 64, 256, 600]),
    rounded=st.booleans(),
)
def test_the_token_is_the_inverse_of_the_distribution(  # noqa: PLR0913 - what hypothesis draws
    *,
    temperature: float,
    top_p: float,
    top_k: int,
    min_p: float,
    seed: int,
    vocabulary: int,
    rounded: bool,
) -> None:
    """The straightforward way: sort everything, filter, add up, look the random number up."""
    logits = logits_of(1, vocabulary, seed % 1000)
    if rounded:
        logits = logits.round()  # many equal logits, as BF16 makes them
    how = draw(9, temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p, seed=seed)
    (token,) = sample(logits, [how])

    weights = ((logits[0] - logits[0].max()) / temperature).exp().double()
    filtered = top_k > 0 or top_p < 1 or min_p > 0
    order = (
        sorted(range(vocabulary), key=lambda i: (-weights[i].item(), i))
        if filtered
        else range(vocabulary)
    )
    kept = list(order)[: top_k or vocabulary]
    mass, chosen, before = math.fsum(weights[i].item() for i in kept), [], 0.0
    for i in kept:
        if top_p >= 1 or before < top_p * mass:
            chosen.append(i)
        before += weights[i].item()
    if filtered:
        chosen = [i for i in chosen if weights[i].item() >= min_p]
    target = uniform(seed, 9) * math.fsum(weights[i].item() for i in chosen)
    passed = 0.0
    for i in chosen:
        passed += weights[i].item()
        if passed > target:
            break
    assert token == i or abs(passed - target) < 1e-9 * passed


def test_a_row_is_drawn_the_same_whatever_stands_beside_it() -> None:
    logits = logits_of(6, 2000).bfloat16()
    draws = [
        draw(3, seed=1),
        draw(4, temperature=0),
        draw(5, seed=2, top_p=0.9),
        draw(6, seed=3, top_k=1500),
        draw(7, seed=2, top_k=10, top_p=0.5, temperature=0.3),
        draw(8, seed=5, top_p=0.999, temperature=3.0),
    ]
    together = sample(logits, draws)
    alone = [sample(logits[i : i + 1], [draws[i]])[0] for i in range(6)]
    backwards = sample(logits.flip(0), draws[::-1])[::-1]
    assert together == alone == backwards


def test_a_flat_row_with_top_p_falls_back_to_the_whole_vocabulary() -> None:
    logits = torch.zeros(300, 5000)
    tokens = sample(logits, [draw(i, top_p=0.9) for i in range(300)])
    assert max(tokens) > 4000
    assert max(tokens) < 4501


def test_seed_and_position_decide() -> None:
    logits = torch.zeros(100, 10_000)
    draws = [draw(position, seed=seed) for seed in range(10) for position in range(10)]
    tokens = sample(logits, draws)
    assert len(set(tokens)) > 90
    assert tokens == sample(logits, draws)


@given(seed=st.integers(-(2**63), 2**64 - 1), position=st.integers(0, 2**31))
def test_random_numbers_lie_in_the_half_open_unit_interval(seed: int, position: int) -> None:
    assert 0 <= uniform(seed, position) < 1


def test_random_numbers_are_spread_evenly() -> None:
    numbers = [uniform(seed, position) for seed in range(50) for position in range(200)]
    counts = [sum(int(n * 10) == tenth for n in numbers) for tenth in range(10)]
    assert all(abs(count - 1000) < 130 for count in counts)


def test_split_mix_is_the_published_one() -> None:
    """Source: the first outputs of SplitMix64 for seed 1234567 (Rosetta Code)."""
    from model_server.compute.sampling import _split_mix  # noqa: PLC0415 - the one private part checked

    gamma = 0x9E3779B97F4A7C15
    outputs = [_split_mix((1234567 + i * gamma) % 2**64) for i in range(3)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]
