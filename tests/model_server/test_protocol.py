"""Requests are parsed once, whole, and refused by field and reason without repeating the input."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_server.api.errors import ApiError
from model_server.api.kaito_chat import KaitoChat
from model_server.api.protocol import MAX_FAULTS, ChatRequest, CompletionRequest, parse
from model_server.api.strict_body import Strict
from model_server.web.texts import DetokenizeRequest, TokenizeRequest
from pydantic import ValidationError

MARK = "ZQXJV"  # stands in every value that a caller sends here, in no message of ours


def chat(**fields: object) -> ChatRequest:
    body = {"messages": [{"role": "user", "content": "x"}], **fields}
    return parse(ChatRequest, json.dumps(body).encode())


def test_defaults_are_openais() -> None:
    asked = chat()
    assert (asked.temperature, asked.top_p, asked.stop) == (None, None, ())
    assert asked.answer_limit is None
    assert not asked.stream
    assert not asked.wants_usage
    assert parse(CompletionRequest, b'{"prompt": "x"}').answer_limit == 16


def test_both_names_of_the_answers_limit_are_known_and_the_newer_wins() -> None:
    assert chat(max_tokens=3).answer_limit == 3
    assert chat(max_completion_tokens=4, max_tokens=3).answer_limit == 4


@pytest.mark.parametrize(
    ("given_stop", "parsed"),
    [("a", ("a",)), (["a", "b"], ("a", "b")), ([], ()), (None, ())],
)
def test_stop_is_a_string_or_a_list(given_stop: object, parsed: tuple[str, ...]) -> None:
    assert chat(stop=given_stop).stop == parsed


def test_text_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    asked = chat(messages=[{"role": "user", "content": parts}])
    assert asked.messages[0].content == "ab"


@pytest.mark.parametrize(
    ("prompt", "parsed"), [("x", "x"), (["x"], "x"), ([0, 5], (0, 5)), ("", "")]
)
def test_a_prompt_is_text_or_token_ids(prompt: object, parsed: object) -> None:
    assert parse(CompletionRequest, json.dumps({"prompt": prompt}).encode()).prompt == parsed


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(MARK),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("k"), inner, max_size=1),
    max_leaves=8,
)
fields = st.sampled_from([*ChatRequest.model_fields, *CompletionRequest.model_fields, "unknown"])
bodies = st.dictionaries(fields, json_values, max_size=6)


def refusal(kind: Any, body: bytes) -> ApiError | None:  # noqa: ANN401 - either request
    try:
        parse(kind, body)
    except ApiError as error:
        return error
    return None


@given(bodies)
def test_any_json_is_parsed_or_refused_shortly_without_echo(body: dict[str, object]) -> None:
    raw = json.dumps(body).encode()
    for kind in (ChatRequest, CompletionRequest):
        error = refusal(kind, raw)
        if error is not None:
            assert error.problem.status in (400, 422)
            assert len(error.problem.message) < 300
            assert MARK not in str(error.problem.document())


@given(st.binary(max_size=50))
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    error = refusal(ChatRequest, body)
    assert error is not None
    assert error.problem.status in (400, 422)


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("store", True, "only false is accepted"),
        ("service_tier", "flex", "only auto or default is accepted"),
        ("reasoning_effort", "high", "leave it out"),
        ("store", 0, "only false is accepted"),  # 0 is no false
    ],
)
def test_a_field_that_is_not_built_says_what_it_accepts(
    field: str, value: object, hint: str
) -> None:
    with pytest.raises(ApiError) as refused:
        chat(**{field: value})
    assert refused.value.problem.param == field
    assert hint in refused.value.problem.message


def listed(kind: type[Strict], field: str, part: str) -> int:
    """Count the faults that are found in a long list of one bad value."""
    body = f'{{"{field}": [{",".join([part] * 1000)}]}}'
    with pytest.raises(ValidationError) as caught:
        kind.model_validate_json(body)
    return sum(error["loc"][0] == field for error in caught.value.errors())


@pytest.mark.parametrize(
    ("kind", "field", "part"),
    [
        (ChatRequest, "messages", "{}"),
        (ChatRequest, "messages", "1"),
        (KaitoChat, "messages", "{}"),
        (TokenizeRequest, "messages", "{}"),
        (DetokenizeRequest, "tokens", "-1"),
    ],
)
def test_a_list_is_left_at_its_first_bad_value(kind: type[Strict], field: str, part: str) -> None:
    """A megabyte of them would hold up everyone for seconds."""
    assert listed(kind, field, part) <= 2


def test_a_crowd_of_faults_is_counted_and_not_written_down() -> None:
    body = json.dumps({f"x{i}": 1 for i in range(MAX_FAULTS + 1)} | {"prompt": "x"})
    with pytest.raises(ApiError, match="101 fields are unknown or wrong") as caught:
        parse(CompletionRequest, body.encode())
    assert caught.value.problem.status == 422
    few = json.dumps({f"x{i}": 1 for i in range(MAX_FAULTS)} | {"prompt": "x"})
    with pytest.raises(ApiError, match="x0: this server knows no such field"):
        parse(CompletionRequest, few.encode())
