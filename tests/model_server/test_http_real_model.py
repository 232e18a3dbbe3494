"""The whole way from a folder of weights to an answer: a real, tiny Mistral, a real socket."""

import asyncio
import gc
import json
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from model_server.api.lifecycle import Lifecycle
from model_server.api.service import ServedModel
from model_server.engine.engine import Engine
from model_server.engine.request import Constraint, Request, SamplingParameters
from model_server.settings import Settings
from model_server.startup import find_preset, load, names_of
from model_server.text.call_grammar import Schema
from model_server.text.detokenize import Detokenizer
from model_server.text.grammar import BadSchema, Grammars

from tests.model_server.http_server import Running, check_error, serving, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

QUESTIONS = [
    "Who are you?",
    "What is Kubernetes?",
    "日本 👩‍🚀",
    "a " * 40,
    "",
    "x",
    "2+2?",
    "Hi </s>",
]


def loader(settings: Settings) -> Callable[[Lifecycle], ServedModel]:
    return partial(load, settings, find_preset(settings))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(tiny_weights: Path) -> AsyncIterator[Running]:
    settings = Settings(model=tiny_weights, preset="tiny-mistral", device="cpu", max_sequences=8)
    names = names_of(settings, find_preset(settings)).names
    async with serving(loader(settings), names=names) as server:
        yield server


async def direct(running: Running, question: str, sampling: SamplingParameters) -> str:
    """Ask the engine itself, past HTTP."""
    model = running.service.loaded
    assert model is not None
    turns = [{"role": "user", "content": question}]
    prompt = await model.tokenizer.encode_chat(turns, limit=1_000)
    request = Request(request_id=f"d-{question}", prompt_ids=tuple(prompt), sampling=sampling)
    # An untrained model writes bytes that are no text; these read differently when decoded whole.
    detokenizer = Detokenizer(model.tokenizer.decode)
    text = ""
    async for output in model.engine.generate(request):
        text += detokenizer.push(output.token_ids)
    return text + detokenizer.finish()


async def streamed(running: Running, question: str, **fields: object) -> str:
    body = {"messages": [{"role": "user", "content": question}], "stream": True, **fields}
    text = ""
    async with running.client.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.status_code == 200
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                delta = json.loads(line[6:])["choices"][0]["delta"]
                text += delta.get("content", "")
    return text


@pytest.mark.parametrize("question", QUESTIONS)
async def test_answers_over_http_are_the_engines_tokens(running: Running, question: str) -> None:
    greedy = SamplingParameters(max_tokens=24, temperature=0.0)
    wanted = await direct(running, question, greedy)
    whole = (await running.chat(question, max_tokens=24)).json()
    assert whole["choices"][0]["message"]["content"] == wanted
    assert await streamed(running, question, max_tokens=24, temperature=0) == wanted


async def test_a_seed_draws_the_same_answer_again(running: Running) -> None:
    drawn = SamplingParameters(max_tokens=24, temperature=1.0, top_p=0.9, seed=7)
    wanted = await direct(running, "Hi", drawn)
    fields = {"max_tokens": 24, "temperature": 1.0, "top_p": 0.9}
    assert await streamed(running, "Hi", **fields, seed=7) == wanted
    assert await streamed(running, "Hi", **fields, seed=8) != wanted


async def test_a_full_collection_does_not_walk_over_what_was_loaded(running: Running) -> None:
    assert running.service.loaded is not None
    assert gc.get_freeze_count() > 100_000


async def test_many_clients_at_once_get_what_each_gets_alone(running: Running) -> None:
    alone = [await streamed(running, q, max_tokens=24, temperature=0) for q in QUESTIONS]
    asked = (streamed(running, q, max_tokens=24, temperature=0) for q in QUESTIONS * 2)
    assert await asyncio.gather(*asked) == alone * 2


async def test_an_answer_is_held_to_a_schema_streamed_or_not(running: Running) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Oslo", "Paris"]}, "size": {"type": "boolean"}},
        "required": ["city", "size"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    fields = {"response_format": form, "max_tokens": 300, "seed": 3, "temperature": 1.0}
    answer = (await running.chat("Where?", **fields, n=3)).json()
    for choice in answer["choices"]:
        assert choice["finish_reason"] == "stop"
        place = json.loads(choice["message"]["content"])
        assert place.keys() == {"city", "size"}
        assert place["city"] in {"Oslo", "Paris"}
    first = answer["choices"][0]["message"]["content"]
    assert await streamed(running, "Where?", **fields) == first
    # Others in the same batch are as free as ever.
    greedy = {"max_tokens": 24, "temperature": 0}
    free = await streamed(running, "Hi", **greedy)
    held, beside = await asyncio.gather(
        streamed(running, "Where?", **fields), streamed(running, "Hi", **greedy)
    )
    assert (held, beside) == (first, free)


async def test_a_schema_that_cannot_be_held_to_is_refused_with_its_place(running: Running) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "nix"}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    error = check_error(await running.chat("Hi", response_format=form), 400)
    assert error["param"] == "response_format.json_schema.schema.properties.b"
    form = {"type": "json_object"}
    error = check_error(await running.chat("Hi", response_format=form, min_tokens=3), 422)
    assert error["param"] == "min_tokens"


async def test_a_schema_that_compiles_for_long_keeps_no_stream_waiting(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, release = threading.Event(), threading.Event()

    def compile_for_long(_grammars: Grammars, _schema: Schema) -> Callable[[], Constraint]:
        begun.set()
        assert release.wait(30)
        raise BadSchema("", "it was too much")

    monkeypatch.setattr("model_server.text.grammar.COMPILE_SECONDS", 60.0)
    monkeypatch.setattr(Grammars, "compile_now", compile_for_long)
    asked = asyncio.create_task(running.chat("Hi", response_format={"type": "json_object"}))
    await until(begun.is_set)
    streamed = await running.chat("Hi", stream=True, max_tokens=20, ignore_eos=True)
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert not asked.done()
    release.set()
    check_error(await asked, 400)


async def test_log_probabilities_join_to_the_text(running: Running) -> None:
    fields = {"max_tokens": 12, "logprobs": True, "top_logprobs": 3}
    choice = (await running.chat("Who are you?", **fields)).json()["choices"][0]
    content = choice["logprobs"]["content"]
    data = bytes(byte for entry in content for byte in entry["bytes"])
    assert data.decode(errors="replace") == choice["message"]["content"]
    for entry in content:  # greedy: what is drawn is the likeliest
        assert entry["token"] == entry["top_logprobs"][0]["token"]
        values = [top["logprob"] for top in entry["top_logprobs"]]
        assert values == sorted(values, reverse=True)
        assert values[0] == entry["logprob"] < 0


async def test_ready_attests_revision_and_digest(running: Running) -> None:
    document = (await running.client.get("/ready")).json()
    assert document["model"]["name"] == "tiny-mistral"
    assert document["model"]["revision"] == "0" * 40
    assert document["model"]["digest"].startswith("sha256:")
    progress = document["progress"]
    assert progress["bytes_loaded"] == progress["bytes_total"] > 1_000_000
    listed = (await running.client.get("/v1/models")).json()["data"]
    assert [model["id"] for model in listed] == ["tiny-mistral", "atelier/tiny-mistral"]
    assert listed[0]["max_model_len"] == 1024


async def test_a_prompt_of_a_megabyte_is_refused_and_holds_nobody_up(running: Running) -> None:
    refused, _ = await asyncio.gather(
        running.chat("word " * 190_000), streamed(running, "Hi", max_tokens=8, temperature=0)
    )
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "context_length_exceeded"
    assert "1024" in refused.json()["error"]["message"]


async def test_a_client_that_leaves_frees_the_cache(running: Running) -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True, "ignore_eos": True}
    async with running.client.stream("POST", "/v1/chat/completions", json=body) as response:
        await anext(response.aiter_raw())
    await until(lambda: running.service.open_answers == 0)
    await until(lambda: running.engine.statistics().running == 0)


async def test_the_reference_engine_gives_the_same_greedy_answers(
    running: Running, tiny_weights: Path
) -> None:
    settings = Settings(model=tiny_weights, preset="tiny-mistral", device="cpu", engine="reference")
    async with serving(loader(settings)) as other:
        assert isinstance(other.engine, Engine)
        for question in QUESTIONS[:3]:
            answers = [
                (await server.chat(question, max_tokens=12)).json()["choices"]
                for server in (running, other)
            ]
            assert answers[0] == answers[1]
