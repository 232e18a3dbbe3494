"""A model that knows nothing calls tools all the same, and every call is what its schema says."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import openai
import pytest
import pytest_asyncio
from model_server.settings import Settings
from model_server.startup import load
from model_server.text.tool_form import MISTRAL_ID

from tests.model_server.http_server import CHAT, Running, check_error, serving
from tests.model_server.tool_models import HERMES, make_tool_model, set_template

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "days": {"type": "array", "items": {"$ref": "#/$defs/day"}, "maxItems": 2},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
    "$defs": {"day": {"enum": ["Monday", 'the "last"', "{"]}},
}
SIZE: dict[str, Any] = {
    "type": "object",
    "properties": {"wide": {"type": "boolean"}},
    "required": ["wide"],
    "additionalProperties": False,
}
SCHEMAS = {"weather": WEATHER, "size-of_It": SIZE, "now": {"type": "object", "maxProperties": 0}}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "weather", "parameters": WEATHER, "strict": True}},
    {"type": "function", "function": {"name": "size-of_It", "parameters": SIZE}},
    {"type": "function", "function": {"name": "now", "description": "Tells the time."}},
]
QUESTION: list[Any] = [{"role": "user", "content": "Where?"}]
ASKED: dict[str, Any] = {"messages": QUESTION, "tools": TOOLS, "max_tokens": 700, "temperature": 1}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tools")
    make_tool_model(directory)
    return directory


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(weights: Path) -> AsyncIterator[Running]:
    settings = Settings(model=weights, device="cpu", max_sequences=8)
    async with serving(lambda lifecycle: load(settings, None, lifecycle)) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(running: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    url = f"{running.url}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as sdk:
        yield sdk


async def post(running: Running, **fields: object) -> dict[str, Any]:
    response = await running.client.post(CHAT, json={**ASKED, **fields})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def check_calls(choice: dict[str, Any]) -> list[tuple[str, Any]]:
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert message["content"] is None
    made = []
    for call in message["tool_calls"]:
        assert call["type"] == "function"
        assert MISTRAL_ID.fullmatch(call["id"])
        name, arguments = call["function"]["name"], json.loads(call["function"]["arguments"])
        jsonschema_rs.validate(SCHEMAS[name], arguments)
        made.append((name, arguments))
    assert made
    return made


async def test_required_calls_are_what_the_schemas_say(running: Running) -> None:
    answer = await post(running, tool_choice="required", n=8, seed=1, max_tokens=900)
    whole = [choice for choice in answer["choices"] if choice["finish_reason"] == "tool_calls"]
    called = [name for choice in whole for name, _ in check_calls(choice)]
    assert called
    assert set(called) <= set(SCHEMAS)
    for choice in answer["choices"]:
        assert choice["finish_reason"] in {"tool_calls", "length"}
    ids = [c["id"] for choice in whole for c in choice["message"]["tool_calls"]]
    assert len(set(ids)) == len(ids)
    assert answer["usage"]["completion_tokens"] > len(called)


@pytest.mark.parametrize("name", SCHEMAS)
async def test_a_named_tool_is_called_once(running: Running, name: str) -> None:
    choice = {"type": "function", "function": {"name": name}}
    for seed in range(3):
        answer = await post(running, tool_choice=choice, seed=seed)
        assert [called for called, _ in check_calls(answer["choices"][0])] == [name]


async def test_calls_that_are_not_parallel_are_one(running: Running) -> None:
    fields = {"tool_choice": "required", "parallel_tool_calls": False}
    for choice in (await post(running, **fields, n=6, seed=2))["choices"]:
        assert len(check_calls(choice)) == 1


async def test_a_stream_joins_to_the_whole_answer(running: Running) -> None:
    for seed in range(3):
        fields = {"tool_choice": "required", "seed": seed, "max_tokens": 200}
        whole = (await post(running, **fields))["choices"][0]
        body = {**ASKED, **fields, "stream": True, "stream_options": {"include_usage": True}}
        streamed = await running.client.post(CHAT, json=body)
        events = [line[6:] for line in streamed.text.split("\n\n") if line]
        assert events.pop() == "[DONE]"
        chunks = [json.loads(event) for event in events]
        assert chunks.pop()["usage"]["completion_tokens"] > 0
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        assert deltas[0] == {"role": "assistant", "content": None}
        assert chunks[-1]["choices"][0]["finish_reason"] == whole["finish_reason"]
        calls: list[dict[str, Any]] = []
        for delta in deltas[1:-1]:
            (piece,) = delta["tool_calls"]
            if piece["index"] == len(calls):
                assert piece["type"] == "function"
                calls.append({"name": piece["function"]["name"], "arguments": "", "parts": 0})
            else:
                assert piece.keys() == {"index", "function"}
                assert piece["function"].keys() == {"arguments"}
            calls[piece["index"]]["arguments"] += piece["function"]["arguments"]
            calls[piece["index"]]["parts"] += 1
        assert max(call["parts"] for call in calls) > 1
        assert [(call["name"], call["arguments"]) for call in calls] == [
            (call["function"]["name"], call["function"]["arguments"])
            for call in whole["message"]["tool_calls"]
        ]


async def test_the_sdk_reads_calls_and_sends_them_back(client: openai.AsyncOpenAI) -> None:
    named: Any = {"type": "function", "function": {"name": "weather"}}
    answer = await client.chat.completions.create(
        model="tiny", messages=QUESTION, tools=TOOLS, tool_choice=named, seed=4, max_tokens=300
    )
    message = answer.choices[0].message
    assert message.tool_calls is not None
    results: list[Any] = [
        {"role": "tool", "tool_call_id": call.id, "content": '{"degrees": 21}'}
        for call in message.tool_calls
    ]
    turns: list[Any] = [*QUESTION, message.model_dump(), *results]
    later = await client.chat.completions.create(
        model="tiny", messages=turns, tools=TOOLS, max_tokens=5
    )
    assert later.usage is not None
    assert answer.usage is not None
    assert later.usage.prompt_tokens > answer.usage.prompt_tokens
    async with client.chat.completions.stream(
        model="tiny", messages=QUESTION, tools=TOOLS, tool_choice=named, seed=4, max_tokens=300
    ) as stream:
        final = await stream.get_final_completion()
    (again,) = final.choices[0].message.tool_calls or []
    (first,) = message.tool_calls
    assert again.type == first.type == "function"
    assert again.function.name == first.function.name == "weather"
    assert again.function.arguments == first.function.arguments


async def test_auto_is_free_until_it_calls_and_held_from_there(running: Running) -> None:
    plain = {"seed": 3, "max_tokens": 30}
    answer = (await post(running, **plain))["choices"][0]
    assert answer["finish_reason"] == "length"
    assert answer["message"]["content"]
    assert "tool_calls" not in answer["message"]
    mark = running_mark(running)
    # A bias makes the model call; where it may not, nothing does.
    pushed = {"seed": 3, "logit_bias": {str(mark): 100}, "parallel_tool_calls": False}
    check_calls((await post(running, **pushed))["choices"][0])
    never = (await post(running, **pushed, max_tokens=30, tool_choice="none"))["choices"][0]
    assert never["finish_reason"] == "length"
    assert "tool_calls" not in never["message"]


def running_mark(running: Running) -> int:
    assert running.service.loaded is not None
    form: Any = running.service.loaded.tokenizer.tool_form
    return int(form.mark_id)


async def test_a_form_of_the_answer_is_about_answers_that_call_nothing(running: Running) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "size", "schema": SIZE}}
    mark = str(running_mark(running))
    fields = {"response_format": form, "seed": 5, "parallel_tool_calls": False}
    text = (await post(running, **fields, logit_bias={mark: -100}))["choices"][0]
    assert text["finish_reason"] == "stop"
    jsonschema_rs.validate(SIZE, json.loads(text["message"]["content"]))
    check_calls((await post(running, **fields, logit_bias={mark: 100}))["choices"][0])
    check_calls((await post(running, **fields, tool_choice="required"))["choices"][0])


async def test_an_answer_cut_within_a_call_shows_what_there_is(running: Running) -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    fields = {"tool_choice": named, "seed": 1}
    whole = await post(running, **fields)
    (call,) = whole["choices"][0]["message"]["tool_calls"]
    for most in (1, whole["usage"]["completion_tokens"] - 1):
        choice = (await post(running, **fields, max_tokens=most))["choices"][0]
        assert choice["finish_reason"] == "length"
        calls = choice["message"].get("tool_calls", [])
        assert len(calls) == (most > 1)
        for cut in calls:
            assert call["function"]["arguments"].startswith(cut["function"]["arguments"])


async def test_stop_strings_and_log_probabilities_are_about_text(running: Running) -> None:
    named = {"type": "function", "function": {"name": "size-of_It"}}
    fields = {"tool_choice": named, "stop": ["{", "wide"], "logprobs": True, "top_logprobs": 2}
    choice = (await post(running, **fields))["choices"][0]
    check_calls(choice)
    assert choice["logprobs"]["content"] == []


async def test_others_in_the_batch_are_as_free_as_ever(running: Running) -> None:
    free = {"tools": None, "temperature": 0, "max_tokens": 30}
    alone = (await post(running, **free))["choices"]
    calling = asyncio.create_task(post(running, tool_choice="required", seed=6, max_tokens=100))
    beside = await post(running, **free)
    await calling
    assert beside["choices"] == alone


async def test_tokens_are_counted_as_they_are_asked(running: Running) -> None:
    body = {"messages": QUESTION, "tools": TOOLS}
    counted = (await running.client.post("/tokenize", json=body)).json()
    answer = await post(running, max_tokens=1)
    assert counted["count"] == answer["usage"]["prompt_tokens"]
    without = await post(running, max_tokens=1, tool_choice="none")
    assert without["usage"]["prompt_tokens"] < counted["count"]


async def test_the_metrics_count_calls_as_answers_that_stopped(running: Running) -> None:
    shown = (await running.client.get("/metrics")).text
    assert 'finished_reason="stop"' in shown
    assert "tool_calls" not in shown


async def test_calls_in_text_are_read_too(weights: Path, tmp_path: Path) -> None:
    shutil.copytree(weights, tmp_path, dirs_exist_ok=True)
    set_template(tmp_path, HERMES)
    settings = Settings(model=tmp_path, device="cpu", max_sequences=8)
    async with serving(lambda lifecycle: load(settings, None, lifecycle)) as running:
        answer = await post(running, tool_choice="required", n=4, seed=1)
        for choice in answer["choices"]:
            if choice["finish_reason"] == "tool_calls":
                check_calls(choice)
        named = {"type": "function", "function": {"name": "now"}}
        assert check_calls((await post(running, tool_choice=named))["choices"][0]) == [("now", {})]
        free = (await post(running, max_tokens=20))["choices"][0]
        assert free["message"]["content"]
        set_template(tmp_path, "{{ bos_token }}{{ tools }}{{ messages }}")
    async with serving(lambda lifecycle: load(settings, None, lifecycle)) as running:
        error = check_error(await running.client.post(CHAT, json=ASKED), 422)
        assert error["param"] == "tools"
        assert "in a form that this server does not know" in str(error["message"])
