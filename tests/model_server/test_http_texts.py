"""Tokens counted, prompts repeated, and KAITO's old clients: the paths beside OpenAI's."""

import json
from collections.abc import AsyncIterator, Mapping

import model_server
import pytest
import pytest_asyncio

from tests.model_server.http_server import USER, Running, check_error, serving

TOOL = {"type": "function", "function": {"name": "f"}}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running() -> AsyncIterator[Running]:
    async with serving() as server:
        yield server


async def post(running: Running, path: str, body: Mapping[str, object]) -> dict[str, object]:
    response = await running.client.post(path, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer


async def test_text_becomes_tokens_and_tokens_text(running: Running) -> None:
    counted = {"count": 4, "max_model_len": 128, "tokens": [1, 97, 98, 99]}
    assert await post(running, "/tokenize", {"prompt": "abc"}) == counted
    assert await post(running, "/tokenize", {"messages": USER, "model": "tiny"}) == counted
    bare = await post(running, "/tokenize", {"prompt": "abc", "add_special_tokens": False})
    assert bare["tokens"] == [97, 98, 99]
    assert await post(running, "/detokenize", {"tokens": [1, 97, 98]}) == {"prompt": "ab"}
    assert await post(running, "/detokenize", {"tokens": []}) == {"prompt": ""}


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/tokenize", {}, 422, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": USER}, 422, "prompt"),
        ("/tokenize", {"messages": []}, 422, "messages"),
        ("/tokenize", {"messages": [*USER, *USER]}, 400, "messages[1]"),
        ("/tokenize", {"prompt": "a", "model": "gpt-4"}, 404, "model"),
        ("/tokenize", {"prompt": "a", "add_generation_prompt": False}, 422, None),
        ("/tokenize", {"prompt": "a", "text": "b"}, 422, "text"),
        ("/tokenize", {"prompt": "a", "tools": [TOOL]}, 422, "tools"),
        ("/detokenize", {"tokens": [1_000]}, 422, "tokens"),
        ("/detokenize", {"tokens": [2**70]}, 422, None),
        ("/detokenize", {"tokens": [-1]}, 422, "tokens[0]"),
        ("/detokenize", {"tokens": [97] * 129}, 400, "tokens"),
        ("/detokenize", {"tokens": "abc"}, 422, "tokens"),
        ("/detokenize", {"tokens": [97], "model": "gpt-4"}, 404, "model"),
        ("/chat", {}, 400, "prompt"),
        ("/chat", {"messages": []}, 422, "messages"),
        ("/chat", {"prompt": "abc", "generate_kwargs": {"num_beams": 2}}, 422, None),
        ("/chat", {"prompt": "abc", "generate_kwargs": {"max_length": 4}}, 400, None),
        ("/chat", {"prompt": "abc", "generate_kwargs": {"penalty_alpha": 1}}, 422, None),
        ("/chat", {"prompt": "abc", "generate_kwargs": {"max_new_tokens": 500}}, 400, None),
        ("/chat", {"prompt": "abc", "temperature": 1}, 422, "temperature"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_its_field(
    running: Running, path: str, body: dict[str, object], status: int, param: str | None
) -> None:
    error = check_error(await running.client.post(path, json=body), status)
    assert error["param"]
    assert param in (None, error["param"])


async def test_an_echo_opens_the_answer_with_the_prompt(running: Running) -> None:
    body = {"max_tokens": 3, "temperature": 0, "echo": True}
    for prompt in ("abc", [1, 97, 98, 99]):
        answer = await post(running, "/v1/completions", {**body, "prompt": prompt})
        assert answer["choices"][0]["text"] == "abcdef"  # type: ignore[index] # JSON
        assert answer["usage"]["completion_tokens"] == 3  # type: ignore[index] # JSON
    streamed = await running.client.post(
        "/v1/completions", json={**body, "prompt": "abc", "stream": True}
    )
    events = [line[6:] for line in streamed.text.split("\n\n") if line]
    assert events.pop() == "[DONE]"
    assert "".join(json.loads(event)["choices"][0]["text"] for event in events) == "abcdef"


async def test_what_this_model_was_not_made_for_is_said_so(running: Running) -> None:
    for path, fields, words in (
        ("/v1/completions", {"prompt": "a", "suffix": "b"}, "fills no gaps"),
        ("/v1/chat/completions", {"messages": USER, "tools": [TOOL]}, "not trained to call tools"),
        (
            "/tokenize",
            {"messages": USER, "tools": [TOOL]},
            "serve a model whose template has tools",
        ),
        ("/v1/chat/completions", {"messages": USER, "tool_choice": "auto"}, "without tools"),
        ("/v1/chat/completions", {"messages": USER, "functions": [{}]}, "tools and tool_choice"),
    ):
        error = check_error(await running.client.post(path, json=fields), 422)
        assert words in str(error["message"])


async def test_an_old_client_of_kaito_gets_what_it_knows(running: Running) -> None:
    assert (await running.client.get("/")).json() == {"message": "Server is running"}
    greedy = {"do_sample": False, "max_length": 7}
    whole = {"prompt": "abc", "generate_kwargs": greedy}
    assert await post(running, "/chat", whole) == {"Result": "abcdef"}
    only = {**whole, "return_full_text": False, "clean_up_tokenization_spaces": False}
    assert await post(running, "/chat", only) == {"Result": "def"}
    new = {"prompt": "abc", "generate_kwargs": {"do_sample": False, "max_new_tokens": 2}}
    assert await post(running, "/chat", new) == {"Result": "abcde"}
    talk = {"messages": USER, "generate_kwargs": greedy}
    assert await post(running, "/chat", talk) == {"Result": "def"}
    prefixed = {"prompt": "c", "prefix": "ab", "generate_kwargs": greedy}
    assert await post(running, "/chat", prefixed) == {"Result": "cdef"}
    error = check_error(await running.client.post("/chat", json={}), 400)
    assert error["message"] == "Text generation parameter prompt required"


async def test_the_version_is_the_packages(running: Running) -> None:
    shown = (await running.client.get("/version")).json()
    assert shown == {"version": model_server.__version__}


async def test_the_api_describes_itself(running: Running) -> None:
    document = (await running.client.get("/openapi.json")).json()
    chat = document["paths"]["/v1/chat/completions"]["post"]
    assert chat["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/ChatRequest"
    }
    schema = document["components"]["schemas"]["ChatRequest"]
    assert schema["required"] == ["messages"]
    assert schema["additionalProperties"] is False
