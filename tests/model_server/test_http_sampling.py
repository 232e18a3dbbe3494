"""The fields of drawing over a real socket, streamed and whole: n, stops, log probabilities."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from model_server.engine.engine_state import EngineLimits

from tests.model_server.fake_runner import FakeRunner, Gate
from tests.model_server.http_server import Running, check_error, counting, serving


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    runner = FakeRunner(max_model_len=128, eos_token_ids=frozenset({ord("z")}))
    async with serving(counting(runner)) as served:
        yield served


async def streamed(running: Running, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    body = {"temperature": 0, **body, "stream": True}
    async with running.client.stream("POST", path, json=body) as response:
        assert response.status_code == 200, await response.aread()
        lines = [line[6:] async for line in response.aiter_lines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


async def test_several_choices_are_whole_answers_of_one_prompt(running: Running) -> None:
    answer = (await running.chat("abc", max_tokens=4, n=3, seed=7)).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in answer["choices"]} == {"defg"}
    assert {choice["finish_reason"] for choice in answer["choices"]} == {"length"}
    assert answer["usage"]["prompt_tokens"] == 4
    assert answer["usage"]["completion_tokens"] == 12


async def test_several_choices_are_streamed_side_by_side(running: Running) -> None:
    body = {"prompt": "abc", "max_tokens": 5, "n": 4, "stream_options": {"include_usage": True}}
    chunks = await streamed(running, "/v1/completions", body)
    texts, reasons = ["", "", "", ""], ["", "", "", ""]
    for chunk in chunks[:-1]:
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice["text"]
        reasons[choice["index"]] = choice["finish_reason"]
    assert texts == ["defgh"] * 4
    assert reasons == ["length"] * 4
    assert chunks[-1]["usage"]["completion_tokens"] == 20


async def test_each_choice_of_a_chat_opens_with_its_role(running: Running) -> None:
    body = {"messages": [{"role": "user", "content": "abc"}], "max_tokens": 2, "n": 2}
    chunks = await streamed(running, "/v1/chat/completions", body)
    roles = [c["choices"][0]["index"] for c in chunks if "role" in c["choices"][0]["delta"]]
    assert roles == [0, 1]


async def test_choices_are_taken_all_or_none() -> None:
    gate = Gate()
    runner = FakeRunner(max_model_len=128)
    limits = EngineLimits(max_sequences=2, max_batch_tokens=8, max_queued=1)
    async with serving(counting(runner, limits)) as running:
        runner.on_step = gate
        try:
            error = check_error(await running.chat("abc", max_tokens=2, n=4), 429)
            assert error["code"] == "rate_limit_exceeded"
        finally:
            gate.open()
        await running.until_free()
        answer = await running.chat("abc", max_tokens=2, n=3)
        assert len(answer.json()["choices"]) == 3


async def test_a_client_that_leaves_frees_all_choices() -> None:
    gate = Gate()
    runner = FakeRunner(max_model_len=128)
    async with serving(counting(runner)) as running:
        runner.on_step = gate
        body = {"prompt": "abc", "max_tokens": 100, "n": 3, "stream": True, "temperature": 0}
        async with running.client.stream("POST", "/v1/completions", json=body) as response:
            gate.open()
            await anext(response.aiter_lines())
        await running.until_free()


async def test_log_probabilities_of_a_chat(running: Running) -> None:
    fields = {"max_tokens": 3, "logprobs": True, "top_logprobs": 2}
    choice = (await running.chat("abc", **fields)).json()["choices"][0]
    content = choice["logprobs"]["content"]
    assert [entry["token"] for entry in content] == ["d", "e", "f"]
    assert [entry["bytes"] for entry in content] == [[100], [101], [102]]
    assert content[0]["logprob"] == -0.5
    assert [top["token"] for top in content[0]["top_logprobs"]] == ["d", "e"]
    body = {"messages": [{"role": "user", "content": "abc"}], **fields}
    chunks = await streamed(running, "/v1/chat/completions", body)
    joined = [
        entry
        for chunk in chunks
        if chunk["choices"][0]["logprobs"]
        for entry in chunk["choices"][0]["logprobs"]["content"]
    ]
    assert joined == content


async def test_log_probabilities_of_a_completion_with_offsets_into_the_text(
    running: Running,
) -> None:
    body = {"prompt": "abc", "max_tokens": 3, "temperature": 0, "logprobs": 1, "echo": True}
    choice = (await running.client.post("/v1/completions", json=body)).json()["choices"][0]
    assert choice["text"] == "abcdef"
    assert choice["logprobs"] == {
        "tokens": ["d", "e", "f"],
        "token_logprobs": [-0.5, -0.5, -0.5],
        "top_logprobs": [{"d": -0.5}, {"e": -0.5}, {"f": -0.5}],
        "text_offset": [3, 4, 5],
    }
    chunks = await streamed(running, "/v1/completions", body)
    parts = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    assert [offset for part in parts if part for offset in part["text_offset"]] == [3, 4, 5]


async def test_without_logprobs_there_are_none(running: Running) -> None:
    choice = (await running.chat("abc", max_tokens=3)).json()["choices"][0]
    assert choice["logprobs"] is None
    choice = (await running.chat("abc", max_tokens=3, logprobs=True)).json()["choices"][0]
    assert [entry["top_logprobs"] for entry in choice["logprobs"]["content"]] == [[], [], []]


async def test_the_token_that_ends_an_answer_is_no_part_of_it(running: Running) -> None:
    """Neither of its text nor of its log probabilities, but it counts."""
    fields = {"max_tokens": 20, "logprobs": True}
    for answer in (
        await running.chat("vw", **fields),
        await running.chat("vw", **fields, ignore_eos=True, stop_token_ids=[ord("z")]),
    ):
        choice = answer.json()["choices"][0]
        assert choice["message"]["content"] == "xy"
        assert choice["finish_reason"] == "stop"
        assert [entry["token"] for entry in choice["logprobs"]["content"]] == ["x", "y"]
        assert answer.json()["usage"]["completion_tokens"] == 3


async def test_stop_strings_do_not_count_before_min_tokens(running: Running) -> None:
    answer = await running.chat("abc", max_tokens=9, min_tokens=3, stop=["e", "h"])
    choice = answer.json()["choices"][0]
    assert choice["message"]["content"] == "defg"
    assert choice["finish_reason"] == "stop"


async def test_what_the_cache_held_of_a_prompt_is_told_and_counted(running: Running) -> None:
    text = "shared beginning of two prompts"
    first = await running.chat(f"{text} 1", max_tokens=1)
    again = await running.chat(f"{text} 2", max_tokens=1)
    salted = await running.chat(f"{text} 3", max_tokens=1, cache_salt="other")
    cached = [
        answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"]
        for answer in (first, again, salted)
    ]
    assert cached == [0, 32, 0]  # the beginning-of-sequence token and 31 characters: 8 blocks of 4
    metrics = (await running.client.get("/metrics")).text
    hits = 'vllm:prefix_cache_hits_total{model_name="tiny"}'
    (line,) = [line for line in metrics.splitlines() if line.startswith(hits)]
    assert float(line.split()[-1]) >= 32
