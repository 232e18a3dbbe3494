"""
Map paths to answers: the page to read first on the HTTP side.

    POST /v1/chat/completions   a conversation, answered
    POST /v1/completions        a text, continued
    GET  /v1/models             what is served; /v1/models/{name} for one name
    GET  /health                200 while the process can still come to serve
    GET  /ready                 200 once a token has been generated; how far it is, in either case
    GET  /metrics               Prometheus

A request is parsed (`protocol`), encoded (`encoding`), generated and written (`answers`); `edge`
stands around all of it. Everything is passed in; nothing here is global.

Must not import torch or transformers.
"""

import secrets
import time

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from model_server import errors
from model_server.answers import GenerationResponse, Job
from model_server.bodies import read_body
from model_server.edge import Edge, refusal_response
from model_server.encoding import encode_chat, encode_completion, request_of
from model_server.errors import ApiError, Problem
from model_server.metrics import CONTENT_TYPE
from model_server.protocol import ChatRequest, CompletionRequest, GenerationFields, parse
from model_server.service import ServedModel, Service
from model_server.sse import AnswerHead


def build_app(service: Service) -> ASGIApp:
    """Return the ASGI application of one model."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_exception_handler(ApiError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_exception_handler(Exception, _own_fault)
    _add_generation(app, service)
    _add_models(app, service)
    _add_probes(app, service)
    return Edge(app, service.metrics)


def _add_generation(app: FastAPI, service: Service) -> None:
    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        model = service.ready_model()
        asked = parse(ChatRequest, await read_body(request))
        _check_model(service, asked)
        return _generate(service, model, asked, await encode_chat(model, asked))

    @app.post("/v1/completions")
    async def complete(request: Request) -> Response:
        model = service.ready_model()
        asked = parse(CompletionRequest, await read_body(request))
        _check_model(service, asked)
        return _generate(service, model, asked, await encode_completion(model, asked))


def _generate(
    service: Service,
    model: ServedModel,
    asked: ChatRequest | CompletionRequest,
    prompt_ids: list[int],
) -> Response:
    chat = isinstance(asked, ChatRequest)
    answer_id = f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(16)}"
    job = Job(
        request=request_of(model, asked, prompt_ids, answer_id),
        stops=asked.stop,
        head=AnswerHead(answer_id=answer_id, created=int(time.time()), model=service.names.primary),
        chat=chat,
        stream=bool(asked.stream),
        with_usage=asked.wants_usage,
    )
    return GenerationResponse(service, model, job)


def _check_model(service: Service, asked: GenerationFields) -> None:
    """Refuse another model's name; no name means the one model that there is."""
    if asked.model is not None and not service.names.knows(asked.model):
        raise errors.model_not_found(service.names.names)


def _add_models(app: FastAPI, service: Service) -> None:
    created = int(time.time())

    def card(name: str) -> dict[str, object]:
        model = service.ready_model()
        return {
            "id": name,
            "object": "model",
            "created": created,
            "owned_by": "atelier",
            "root": service.names.primary,
            "max_model_len": model.engine.longest_request,
        }

    @app.get("/v1/models")
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [card(n) for n in service.names.names]})

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> Response:
        if not service.names.knows(name):
            raise errors.model_not_found(service.names.names)
        return JSONResponse(card(name))


def _add_probes(app: FastAPI, service: Service) -> None:
    @app.get("/health")
    async def health() -> Response:
        if service.is_healthy():
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "failed"}, status_code=500)

    @app.get("/ready")
    async def ready() -> Response:
        now = service.lifecycle.now()
        headers = None if now.is_ready else {"retry-after": "1"}
        return JSONResponse(
            now.document(), status_code=200 if now.is_ready else 503, headers=headers
        )

    @app.get("/metrics")
    async def scrape() -> Response:
        return Response(service.metrics.exposition(), media_type=CONTENT_TYPE)


async def _refuse(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return refusal_response(error.problem)


async def _refuse_route(_request: Request, error: Exception) -> Response:
    """Answer an unknown path or a wrong method in the one form of errors."""
    if not isinstance(error, HTTPException):
        raise error
    problem = Problem(
        status=error.status_code, message=str(error.detail), headers=dict(error.headers or {})
    )
    return refusal_response(problem)


async def _own_fault(_request: Request, _error: Exception) -> Response:
    """Answer a fault of our own; the edge logs it."""
    return refusal_response(errors.internal().problem)
