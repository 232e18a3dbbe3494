"""Whatever is sent, the answer is short, in one form, names the fault and echoes nothing."""

import json
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.model_server.http_server import (
    CHAT,
    COMPLETION,
    USER,
    Running,
    check_error,
    serving,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "a prompt that nobody else may read"  # noqa: S105 - not a password


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running() -> AsyncIterator[Running]:
    async with serving() as server:
        yield server


async def send(running: Running, body: object, path: str = CHAT) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    return await running.client.post(path, content=content, headers=headers)


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"messages": []}, 422, "messages"),
        ({"messages": "abc"}, 422, "messages"),
        ({"messages": None}, 422, "messages"),
        ({"messages": [{"role": "user"}]}, 422, "messages[0].content"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 422, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, 422, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 422, None),
        ({"messages": [*USER, *USER]}, 400, "messages[1]"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "messages[0]"),
        ({"messages": [*USER, {"role": "assistant", "content": "x"}]}, 400, "messages[1]"),
        ({"messages": [*USER, {"role": "system", "content": "x"}]}, 400, "messages[1]"),
        ({"max_tokens": -1}, 422, "max_tokens"),
        ({"max_tokens": 0}, 422, "max_tokens"),
        ({"max_tokens": 2**63}, 422, "max_tokens"),
        ({"max_tokens": "many"}, 422, "max_tokens"),
        ({"max_tokens": 1.5}, 422, "max_tokens"),
        ({"max_tokens": True}, 422, "max_tokens"),
        ({"max_completion_tokens": 0}, 422, "max_completion_tokens"),
        ({"max_tokens": 1000}, 400, "max_tokens"),
        ({"min_tokens": -1}, 422, "min_tokens"),
        ({"min_tokens": 5, "max_tokens": 4}, 422, "min_tokens"),
        ({"n": 0}, 422, "n"),
        ({"n": 17}, 422, "n"),
        ({"n": True}, 422, "n"),
        ({"n": 10**9}, 422, "n"),
        ({"logprobs": 1}, 422, "logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, 422, "top_logprobs"),
        ({"top_logprobs": 5}, 422, "top_logprobs"),
        ({"stop": ["a", "b", "c", "d", "e"]}, 422, "stop"),
        ({"stop": [""]}, 422, "stop"),
        ({"stop": "x" * 257}, 422, "stop"),
        ({"stop": {"a": 1}}, 422, "stop"),
        ({"temperature": -1}, 422, "temperature"),
        ({"temperature": 1e308}, 422, "temperature"),
        ({"temperature": "hot"}, 422, "temperature"),
        ({"top_p": 0}, 422, "top_p"),
        ({"top_p": 2}, 422, "top_p"),
        ({"top_k": -1}, 422, "top_k"),
        ({"seed": 2**64}, 422, "seed"),
        ({"logit_bias": {"1000": 5}}, 422, "logit_bias"),  # the vocabulary ends below
        ({"logit_bias": {"x": 5}}, 422, "logit_bias"),
        ({"logit_bias": {"5": 101}}, 422, "logit_bias"),
        ({"logit_bias": {"5": True}}, 422, "logit_bias"),
        ({"logit_bias": {str(i): 1 for i in range(1025)}}, 422, "logit_bias"),
        ({"stop_token_ids": [1000]}, 422, "stop_token_ids"),
        ({"stop_token_ids": "x"}, 422, "stop_token_ids"),
        ({"stop_token_ids": list(range(65))}, 422, "stop_token_ids"),
        ({"min_p": 1.5}, 422, "min_p"),
        ({"repetition_penalty": 0}, 422, "repetition_penalty"),
        ({"frequency_penalty": -2.5}, 422, "frequency_penalty"),
        ({"presence_penalty": 2.5}, 422, "presence_penalty"),
        ({"cache_salt": "x" * 257}, 422, "cache_salt"),
        ({"chat_template": "{{ x }}"}, 422, "chat_template"),
        ({"response_format": {"type": "json_object"}}, 422, "response_format"),
        ({"response_format": {"type": "json_schema"}}, 422, "response_format"),
        ({"response_format": {"type": "xml"}}, 422, "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            422,
            "response_format.json_schema.schema",
        ),
        ({"stream": "yes"}, 422, "stream"),
        ({"stream_options": {"usage": True}}, 422, "stream_options.usage"),
        ({"model": "gpt-4"}, 404, "model"),
        ({"model": 4}, 422, "model"),
        ({"temprature": 1}, 422, "temprature"),
        ({"x" * 5_000: 1}, 422, "x" * 64),
    ],
)
async def test_a_bad_field_is_refused_by_its_name(
    running: Running, fields: dict[str, object], status: int, param: str | None
) -> None:
    error = check_error(await send(running, {"messages": USER, **fields}), status)
    if param is not None:
        assert error["param"] == param
        assert param in str(error["message"]) or status in (400, 404)


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": None},
        {"prompt": []},
        {"prompt": [SECRET, SECRET]},
        {"prompt": [[1, 2]]},
        {"prompt": [1.5]},
        {"prompt": [-1]},
        {"prompt": [1_000]},  # the vocabulary ends below
        {"prompt": [2**70]},
        {"prompt": "abc", "best_of": 2},
        {"prompt": "abc", "echo": 1},
        {"prompt": "abc", "suffix": "x"},
        {"prompt": "abc", "logprobs": 21},
        {"prompt": "abc", "logprobs": True},
        {"prompt": "abc", "messages": USER},
        {},
    ],
)
async def test_a_bad_completion_is_refused(running: Running, fields: dict[str, object]) -> None:
    response = await send(running, fields, COMPLETION)
    error = check_error(response, 422)
    assert error["param"]
    assert SECRET not in response.text


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1},
        {"user": "somebody"},
        {"logprobs": False},
        {"top_p": 1},
        {"top_k": 0},
        {"presence_penalty": 0, "frequency_penalty": 0.0},
        {"logit_bias": {}},
        {"response_format": {"type": "text"}},
        {"max_completion_tokens": 2, "max_tokens": None},
        {"stop": None, "seed": None, "temperature": None, "stream": None},
        {"modalities": ["text"], "store": False, "service_tier": "auto", "metadata": {}},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "abc"}]}]},
        {"messages": [{"role": "developer", "content": "x"}, *USER]},
        {
            "messages": [
                *USER,
                {"role": "assistant", "content": "d", "refusal": None, "annotations": []},
                *USER,
            ]
        },
    ],
)
async def test_a_field_that_changes_nothing_is_accepted(
    running: Running, fields: dict[str, object]
) -> None:
    response = await send(running, {"messages": USER, "max_tokens": 1, **fields})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b'{"messages": ',
        b"\xff\xfe",
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b"[" * 10_000,
        b'{"a":' * 10_000,
        b'{"messages": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'"%s"' % SECRET.encode(),
        b"[1, 2]",
        b"null",
        b'{"temperature": NaN, "messages": [{"role": "user", "content": "x"}]}',
        b'{"temperature": -Infinity, "messages": [{"role": "user", "content": "x"}]}',
        b'{"messages": 1, "messages": 2}',
    ],
)
async def test_what_is_no_request_is_refused_at_once(running: Running, body: bytes) -> None:
    started = time.monotonic()
    response = await send(running, body)
    assert response.status_code in (400, 422)
    check_error(response, response.status_code)
    assert SECRET not in response.text
    assert time.monotonic() - started < 2  # the table says 100 ms: this machine is shared


async def test_the_context_is_named_with_both_numbers(running: Running) -> None:
    response = await send(running, {"messages": USER, "max_tokens": 1000})
    message = str(check_error(response, 400)["message"])
    assert "128" in message
    assert "4" in message
    assert "1000" in message
    assert response.json()["error"]["code"] == "context_length_exceeded"


async def test_an_unknown_model_is_told_the_known_ones(running: Running) -> None:
    error = check_error(await send(running, {"messages": USER, "model": SECRET}), 404)
    assert error["code"] == "model_not_found"
    assert "tiny-mistral" in str(error["message"])
    assert SECRET not in str(error["message"])
    check_error(await running.client.get("/v1/models/gpt-4"), 404)


async def test_no_word_of_a_prompt_or_an_answer_is_logged(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    from model_server.logs import JsonFormatter  # noqa: PLC0415 - beside its only use

    caplog.set_level("DEBUG")
    headers = {"x-request-id": "seen-in-the-log"}
    body = {"messages": [{"role": "user", "content": SECRET}], "max_tokens": 3, "temperature": 0}
    answered = await running.client.post(CHAT, json=body, headers=headers)
    answer = answered.json()["choices"][0]["message"]["content"]
    for bad in ({"messages": SECRET}, {"model": SECRET, "messages": USER}, {SECRET: 1}):
        assert (await send(running, bad)).status_code in (404, 422)
    await send(running, SECRET.encode())
    lines = "\n".join(
        JsonFormatter().format(r) for r in caplog.records if r.name.startswith("model_server")
    )
    assert "seen-in-the-log" in lines
    assert '"prompt_tokens": 35' in lines
    assert SECRET not in lines
    assert f'"{answer}' not in lines
