import math
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_server.compute.adjust import Draw, adjust
from model_server.compute.sampling import sample
from model_server.engine.batch import Drawn, Failed
from model_server.engine.history import History
from model_server.engine.request import (
    Constraint,
    ConstraintBroken,
    InvalidRequest,
    SamplingParameters,
)
from transformers import RepetitionPenaltyLogitsProcessor

VOCABULARY = 40


def draw(
    prompt: tuple[int, ...] = (1,),
    answer: tuple[int, ...] = (),
    constraint: Constraint | None = None,
    **sampling: object,
) -> Draw:
    values: dict[str, Any] = {"max_tokens": 50, "temperature": 0, "seed": 0, **sampling}
    history = History(prompt, constraint)
    for token in answer:
        history.append(token)
    return Draw(sampling=SamplingParameters(**values), history=history)


def random_logits(rows: int) -> torch.Tensor:
    return 3 * torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(0))


@dataclass
class Allowing:
    """Allow a fixed set of tokens."""

    tokens: set[int]
    seen: list[int] = field(default_factory=list)
    is_complete: bool = False
    is_free: bool = False

    def allowed_tokens(self) -> bytes:
        if not self.tokens:
            raise ConstraintBroken("the grammar is lost")
        mask = sum(1 << token for token in self.tokens)
        return mask.to_bytes(VOCABULARY // 8, "little")

    def advance(self, token_id: int) -> None:
        self.seen.append(token_id)


def test_rows_that_ask_for_nothing_are_not_even_copied() -> None:
    logits = random_logits(3)
    adjusted, broken = adjust(logits, [draw()] * 3)
    assert adjusted is logits
    assert broken == {}


def test_a_grammar_that_forbids_nothing_yet_is_not_asked() -> None:
    logits = random_logits(2)
    waiting = draw(constraint=Allowing(set(), is_free=True))
    adjusted, broken = adjust(logits, [waiting, draw()])
    assert adjusted is logits
    assert broken == {}
    held = draw(constraint=Allowing({5}))
    tokens = sample(logits, [waiting, held])
    assert tokens == [Drawn(token_id=int(logits[0].argmax())), Drawn(token_id=5)]


def test_the_logits_themselves_stay_as_they_are() -> None:
    logits = random_logits(1)
    before = logits.clone()
    adjust(logits, [draw(logit_bias=((3, 5.0),), repetition_penalty=2.0)])
    assert torch.equal(logits, before)


def test_presence_and_frequency_are_openais_formula_over_the_answer_alone() -> None:
    """Source: platform.openai.com, advanced usage, frequency and presence penalties."""
    logits = random_logits(1)
    how = draw((5, 5, 6), (7, 7, 8), presence_penalty=0.5, frequency_penalty=0.25)
    adjusted, _ = adjust(logits, [how])
    change = torch.zeros(VOCABULARY)
    change[7], change[8] = -(0.5 + 2 * 0.25), -(0.5 + 0.25)
    assert torch.allclose(adjusted[0] - logits[0], change, atol=1e-6)


@given(
    prompt=st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=9),
    answer=st.lists(st.integers(0, VOCABULARY - 1), max_size=9),
    penalty=st.floats(0.1, 10),
)
def test_the_repetition_penalty_is_transformers(
    prompt: list[int], answer: list[int], penalty: float
) -> None:
    logits = random_logits(1)
    how = draw(tuple(prompt), tuple(answer), repetition_penalty=penalty)
    adjusted, _ = adjust(logits, [how])
    ids = torch.tensor([[*prompt, *answer]])
    scores: Any = logits.clone()
    expected = RepetitionPenaltyLogitsProcessor(penalty)(ids, scores)
    assert torch.allclose(adjusted, expected)


def test_a_bias_is_added_and_a_strong_one_decides() -> None:
    logits = random_logits(2)
    biased = draw(logit_bias=((3, 100.0), (int(logits[0].argmax()), -100.0)))
    tokens = sample(logits, [biased, draw()])
    assert tokens == [Drawn(token_id=3), Drawn(token_id=int(logits[1].argmax()))]


def test_before_min_tokens_nothing_ends_the_answer() -> None:
    logits = random_logits(1)
    best = int(logits.argmax())
    stops = frozenset({best})
    for answer, may_stop in (((), False), ((9,), False), ((9, 9), True)):
        how = draw(answer=answer, min_tokens=2, stop_token_ids=stops)
        (outcome,) = sample(logits, [how])
        assert isinstance(outcome, Drawn)
        assert (outcome.token_id == best) is may_stop


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_only_what_a_constraint_allows_is_drawn(temperature: float) -> None:
    logits = random_logits(60)
    allowed = {0, 7, 8, 39}
    draws = [
        draw((1,) * (i + 1), constraint=Allowing(allowed), temperature=temperature)
        for i in range(60)
    ]
    tokens = {outcome.token_id for outcome in sample(logits, draws) if isinstance(outcome, Drawn)}
    assert tokens <= allowed
    assert len(tokens) > 1


def test_a_constraint_narrower_than_the_logits_forbids_the_rest() -> None:
    logits = torch.zeros(1, VOCABULARY + 30)
    logits[0, -1] = 9
    (outcome,) = sample(logits, [draw(constraint=Allowing({5}))])
    assert outcome == Drawn(token_id=5)


def test_a_constraint_that_breaks_fails_its_row_and_no_other() -> None:
    logits = random_logits(2)
    first, second = sample(logits, [draw(constraint=Allowing(set())), draw()])
    assert first == Failed(error="the grammar is lost")
    assert second == Drawn(token_id=int(logits[1].argmax()))


def test_a_row_in_which_nothing_is_left_fails() -> None:
    logits = random_logits(1)
    how = draw(constraint=Allowing({3}), min_tokens=1, stop_token_ids=frozenset({3}))
    (outcome,) = sample(logits, [how])
    assert isinstance(outcome, Failed)


def test_a_constraint_follows_the_answer_and_not_the_prompt() -> None:
    constraint = Allowing({1})
    draw((5, 6), (7, 8), constraint)
    assert constraint.seen == [7, 8]


def test_log_probabilities_are_the_models_own() -> None:
    """Neither temperature nor filters nor biases change them."""
    logits = random_logits(3).bfloat16()
    exact = logits.float().log_softmax(-1)
    draws = [
        draw(logprobs=3, temperature=0.3, top_k=1, logit_bias=((4, 100.0),)),
        draw(),
        draw(logprobs=0),
    ]
    first, second, third = sample(logits, draws)
    assert isinstance(first, Drawn)
    assert first.token_id == 4
    assert first.logprobs is not None
    assert first.logprobs.logprob == pytest.approx(exact[0, 4].item())
    values, ids = exact[0].topk(3)
    assert [token for token, _ in first.logprobs.top] == ids.tolist()
    assert [value for _, value in first.logprobs.top] == pytest.approx(values.tolist())
    assert isinstance(second, Drawn)
    assert second.logprobs is None
    assert isinstance(third, Drawn)
    assert third.logprobs is not None
    assert third.logprobs.top == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_tokens", -1),
        ("min_tokens", 51),
        ("min_p", 1.1),
        ("min_p", math.nan),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", math.inf),
        ("presence_penalty", math.nan),
        ("frequency_penalty", math.inf),
        ("logit_bias", ((1, math.nan),)),
        ("logit_bias", ((-1, 1.0),)),
        ("logprobs", -1),
    ],
)
def test_what_no_sampler_could_follow_is_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=field):
        SamplingParameters(**{"max_tokens": 50, field: value})  # type: ignore[arg-type] # one of many fields
