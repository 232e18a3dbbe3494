from typing import Any

import pytest
from model_server.engine.request import (
    EngineError,
    EngineStopped,
    InvalidRequest,
    QueueFull,
    Request,
    RequestTooLong,
    SamplingParameters,
)


def test_defaults_sample_from_the_whole_vocabulary() -> None:
    sampling = SamplingParameters(max_tokens=1)
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.seed) == (1, 1, 0, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_p", float("nan")),
        ("top_k", -1),
        ("seed", 2**64),
        ("seed", -(2**63) - 1),
    ],
)
def test_sampling_names_the_field_and_the_value_it_refuses(field: str, value: float) -> None:
    values: dict[str, Any] = {"max_tokens": 1, field: value}
    with pytest.raises(InvalidRequest) as caught:
        SamplingParameters(**values)
    assert caught.value.field == field
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("request_id", {"request_id": ""}),
        ("prompt_ids", {"prompt_ids": ()}),
        ("prompt_ids", {"prompt_ids": (1, -2)}),
    ],
)
def test_request_names_the_field_it_refuses(field: str, values: dict[str, Any]) -> None:
    sampling = SamplingParameters(max_tokens=1)
    whole: dict[str, Any] = {"request_id": "a", "prompt_ids": (1,), "sampling": sampling}
    with pytest.raises(InvalidRequest) as caught:
        Request(**(whole | values))
    assert caught.value.field == field


def test_longest_counts_prompt_and_answer() -> None:
    sampling = SamplingParameters(max_tokens=5)
    assert Request(request_id="a", prompt_ids=(1, 2, 3), sampling=sampling).longest == 8


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RequestTooLong(limit=10, got=12), "12 tokens, the limit is 10"),
        (QueueFull(retry_after_seconds=3), "try again in 3 s"),
        (EngineStopped("the engine does not take requests"), "does not take requests"),
    ],
)
def test_refusals_share_a_root_and_say_what_to_do(error: EngineError, says: str) -> None:
    assert isinstance(error, EngineError)
    assert says in str(error)
