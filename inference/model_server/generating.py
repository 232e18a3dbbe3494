"""
Route what generates: OpenAI's two paths, and KAITO's old one.

    POST /v1/chat/completions   a conversation, answered
    POST /v1/completions        a text, continued
    POST /chat                  what KAITO's server took until its version 0.8

A request is parsed (`protocol`), encoded (`encoding`), generated and written (`answers`). Must not
import torch or transformers.
"""

import secrets
import string
import time
from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.responses import Response

from model_server.answer_text import CallReading
from model_server.answers import GenerationResponse, Job
from model_server.bodies import read_body
from model_server.encoding import (
    adapter_asked,
    encode_chat,
    encode_completion,
    encode_kaito,
    form_of_calls,
    requests_of,
    text_of_prompt,
)
from model_server.kaito_chat import KaitoChat, completion_of
from model_server.model_names import BASE
from model_server.protocol import ChatRequest, CompletionRequest, parse
from model_server.service import ServedModel, Service
from model_server.sse import AnswerHead

ID_CHARACTERS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prompt:
    """Hold what the answer goes on from."""

    ids: list[int]
    adapter: str = BASE
    echo: str = ""  # text that opens the answer
    only_text: bool = False  # KAITO's old shape of an answer


def add_generation(app: FastAPI, service: Service) -> None:
    """Add the three routes."""

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        model = service.ready_model()
        asked = parse(ChatRequest, await read_body(request))
        adapter = adapter_asked(service.names, asked.model)
        prompt = _Prompt(ids=await encode_chat(model, asked), adapter=adapter)
        return await _generate(service, model, asked, prompt)

    @app.post("/v1/completions")
    async def complete(request: Request) -> Response:
        model = service.ready_model()
        asked = parse(CompletionRequest, await read_body(request))
        adapter = adapter_asked(service.names, asked.model)
        ids = await encode_completion(model, asked)
        echo = text_of_prompt(model, asked.prompt) if asked.echo else ""
        return await _generate(service, model, asked, _Prompt(ids=ids, echo=echo, adapter=adapter))

    @app.post("/chat")
    async def kaito(request: Request) -> Response:
        model = service.ready_model()
        asked = parse(KaitoChat, await read_body(request))
        ids = await encode_kaito(model, asked)
        prompt = _Prompt(ids=ids, echo=asked.echoed, only_text=True)
        return await _generate(service, model, completion_of(asked, ids), prompt)


async def _generate(
    service: Service, model: ServedModel, asked: ChatRequest | CompletionRequest, prompt: _Prompt
) -> Response:
    chat = isinstance(asked, ChatRequest)
    form = form_of_calls(model, asked)
    answer_id = f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(16)}"
    job = Job(
        requests=await requests_of(model, asked, prompt.ids, answer_id, prompt.adapter),
        stops=asked.stop,
        head=AnswerHead(
            answer_id=answer_id,
            created=int(time.time()),
            model=service.names.shown(prompt.adapter),
        ),
        chat=chat,
        stream=bool(asked.stream),
        with_usage=asked.wants_usage,
        echo=prompt.echo,
        only_text=prompt.only_text,
        calls=CallReading(form=form, new_id=_new_call_id) if form is not None else None,
    )
    return GenerationResponse(service, model, job)


def _new_call_id() -> str:
    """Make an id as Mistral's models know them: 9 letters and digits."""
    return "".join(secrets.choice(ID_CHARACTERS) for _ in range(9))
