"""Answers over a real socket: what is generated, how it ends, and in which shape."""

import asyncio
import json
from typing import Any

import pytest

from tests.model_server.fake_runner import FakeRunner
from tests.model_server.http_server import Running, counting, serving


async def events(running: Running, path: str, body: dict[str, Any]) -> list[str]:
    async with running.client.stream("POST", path, json={**body, "stream": True}) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        return [line[6:] async for line in response.aiter_lines() if line]


def chat_body(content: str, **fields: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}], "temperature": 0, **fields}


async def test_a_chat_is_answered_in_openais_shape() -> None:
    async with serving() as running:
        response = await running.chat("abc", max_tokens=4, model="tiny")
        answer = response.json()
        assert response.status_code == 200
        assert answer.pop("id").startswith("chatcmpl-")
        assert isinstance(answer.pop("created"), int)
        assert answer == {
            "object": "chat.completion",
            "model": "tiny",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "defg", "refusal": None},
                    "logprobs": None,
                    "finish_reason": "length",
                }
            ],
            "usage": {
                "prompt_tokens": 4,
                "completion_tokens": 4,
                "total_tokens": 8,
                "prompt_tokens_details": {"cached_tokens": 0},
            },
        }


async def test_a_completion_continues_text_and_token_ids() -> None:
    async with serving() as running:
        for prompt in ("abc", ["abc"], [1, 97, 98, 99]):
            body = {"prompt": prompt, "max_tokens": 3, "temperature": 0}
            answer = (await running.client.post("/v1/completions", json=body)).json()
            assert answer["object"] == "text_completion"
            assert answer["choices"][0]["text"] == "def"
            assert answer["usage"]["prompt_tokens"] == 4


async def test_a_streamed_chat_has_role_text_reason_usage_and_done() -> None:
    async with serving() as running:
        body = chat_body("abc", max_tokens=4, stream_options={"include_usage": True})
        lines = await events(running, "/v1/chat/completions", body)
        assert lines[-1] == "[DONE]"
        chunks = [json.loads(line) for line in lines[:-1]]
        assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
        assert len({chunk["id"] for chunk in chunks}) == 1
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        deltas = [c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]]
        assert "".join(deltas) == "defg"
        assert chunks[-2]["choices"][0]["finish_reason"] == "length"
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"] == {
            "prompt_tokens": 4,
            "completion_tokens": 4,
            "total_tokens": 8,
            "prompt_tokens_details": {"cached_tokens": 0},
        }
        assert all(chunk["usage"] is None for chunk in chunks[:-1])


async def test_a_streamed_completion_has_text_and_no_role() -> None:
    async with serving() as running:
        body = {"prompt": "abc", "max_tokens": 4, "temperature": 0}
        lines = await events(running, "/v1/completions", body)
        chunks = [json.loads(line) for line in lines[:-1]]
        assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "defg"
        assert all("delta" not in chunk["choices"][0] for chunk in chunks)
        assert all("usage" not in chunk for chunk in chunks)


@pytest.mark.parametrize(
    ("stop", "text"),
    [("g", "def"), (["zz", "hi"], "defg"), (["gh", "fgh"], "de")],
)
async def test_stop_strings_cut_the_answer_streamed_or_not(
    stop: str | list[str], text: str
) -> None:
    async with serving() as running:
        whole = (await running.chat("abc", max_tokens=20, stop=stop)).json()["choices"][0]
        assert whole["message"]["content"] == text
        assert whole["finish_reason"] == "stop"
        lines = await events(
            running, "/v1/chat/completions", chat_body("abc", max_tokens=20, stop=stop)
        )
        chunks = [json.loads(line)["choices"][0] for line in lines[:-1]]
        assert "".join(chunk["delta"].get("content", "") for chunk in chunks) == text
        assert chunks[-1]["finish_reason"] == "stop"
        await running.until_free()


async def test_an_end_token_stops_and_leaves_no_trace_in_the_text() -> None:
    runner = FakeRunner(max_model_len=128, eos_token_ids=frozenset({ord("f")}))
    async with serving(counting(runner)) as running:
        choice = (await running.chat("abc", max_tokens=20)).json()["choices"][0]
        assert choice["finish_reason"] == "stop"


async def test_without_max_tokens_a_chat_may_fill_the_context() -> None:
    async with serving(counting(FakeRunner(max_model_len=40))) as running:
        answer = (await running.chat("abc")).json()
        assert answer["usage"]["total_tokens"] == 40
        assert answer["choices"][0]["finish_reason"] == "length"


async def test_many_clients_at_once_each_get_their_own_answer() -> None:
    async with serving() as running:
        prompts = ["abc", "ABC", "hij", "012"]
        answers = await asyncio.gather(*(running.chat(p, max_tokens=3) for p in prompts))
        texts = [a.json()["choices"][0]["message"]["content"] for a in answers]
        assert texts == ["def", "DEF", "klm", "345"]


@pytest.mark.parametrize("name", ["tiny", "TINY-mistral", "atelier/tiny-mistral"])
async def test_every_name_of_the_model_is_known_in_any_case(name: str) -> None:
    async with serving() as running:
        answer = (await running.chat("abc", max_tokens=1, model=name)).json()
        assert answer["model"] == "tiny"
        assert (await running.client.get(f"/v1/models/{name}")).status_code == 200


async def test_models_are_listed_by_all_their_names() -> None:
    async with serving() as running:
        listed = (await running.client.get("/v1/models")).json()
        assert [model["id"] for model in listed["data"]] == [
            "tiny",
            "tiny-mistral",
            "atelier/Tiny-Mistral",
        ]
        assert listed["data"][0]["max_model_len"] == 128
