"""
Route what generates: OpenAI's two paths, and KAITO's old one.

    POST /v1/chat/completions   a conversation, answered
    POST /v1/completions        a text, continued
    POST /chat                  what KAITO's server took until its version 0.8

A request is parsed (`protocol`), encoded (`encoding`), generated and written (`answers`). It is
open from its last byte on: a drain waits for it while its prompt is encoded, too.

Must not import torch or transformers.
"""

import secrets
import string
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.responses import Response

from model_server.api.encoding import (
    adapter_asked,
    encode_chat,
    encode_completion,
    encode_kaito,
    form_of_calls,
    requests_of,
    text_of_prompt,
)
from model_server.api.kaito_chat import KaitoChat, completion_of
from model_server.api.model_names import BASE
from model_server.api.protocol import ChatRequest, CompletionRequest, parse
from model_server.api.service import ServedModel, Service
from model_server.text.answer_text import CallReading
from model_server.web.answers import GenerationResponse, Job
from model_server.web.bodies import read_body
from model_server.web.sse import AnswerHead

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
        async with _arrived(service, request) as (model, body, opened):
            asked = parse(ChatRequest, body)
            adapter = adapter_asked(service.names, asked.model)
            prompt = _Prompt(ids=await encode_chat(model, asked), adapter=adapter)
            return await _generate(service, model, asked, prompt, opened)

    @app.post("/v1/completions")
    async def complete(request: Request) -> Response:
        async with _arrived(service, request) as (model, body, opened):
            asked = parse(CompletionRequest, body)
            adapter = adapter_asked(service.names, asked.model)
            ids = await encode_completion(model, asked)
            echo = text_of_prompt(model, asked.prompt) if asked.echo else ""
            prompt = _Prompt(ids=ids, echo=echo, adapter=adapter)
            return await _generate(service, model, asked, prompt, opened)

    @app.post("/chat")
    async def kaito(request: Request) -> Response:
        async with _arrived(service, request) as (model, body, opened):
            asked = parse(KaitoChat, body)
            ids = await encode_kaito(model, asked)
            prompt = _Prompt(ids=ids, echo=asked.echoed, only_text=True)
            return await _generate(service, model, completion_of(asked, ids), prompt, opened)


@asynccontextmanager
async def _arrived(
    service: Service, request: Request
) -> AsyncIterator[tuple[ServedModel, bytes, ExitStack]]:
    """
    Take a request in whole, and count it as open until its response has been made or refused.

    Raises:
        ApiError: 503 if no requests are taken, or none any more when the last byte is there.
    """
    service.ready_model()
    body = await read_body(request)
    model = service.ready_model()
    with ExitStack() as opened:
        opened.enter_context(service.open_answer())
        yield model, body, opened


async def _generate(
    service: Service,
    model: ServedModel,
    asked: ChatRequest | CompletionRequest,
    prompt: _Prompt,
    opened: ExitStack,
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
    return GenerationResponse(service, model, job, opened.pop_all())


def _new_call_id() -> str:
    """Make an id as Mistral's models know them: 9 letters and digits."""
    return "".join(secrets.choice(ID_CHARACTERS) for _ in range(9))
