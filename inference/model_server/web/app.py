"""
Map paths to answers: the page to read first on the HTTP side.

    generating   /v1/chat/completions, /v1/completions, and KAITO's old /chat
    texts        /tokenize, /detokenize
    probes       /health, /ready, /metrics
    here         /v1/models, /version, /openapi.json, and KAITO's old /

Around them, from the outside in: `edge` (request ids, the log, headers), what browsers ask before
they ask (CORS), `guard` (keys). Everything is passed in; nothing here is global.

Must not import torch or transformers.
"""

import time
from collections.abc import Sequence

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from model_server import __version__
from model_server.api import errors
from model_server.api.errors import ApiError, Problem
from model_server.api.model_names import BASE
from model_server.api.service import Service
from model_server.web import openapi
from model_server.web.api_keys import ApiKeys
from model_server.web.edge import Edge
from model_server.web.generating import add_generation
from model_server.web.guard import Guard
from model_server.web.probes import add_probes
from model_server.web.refusal import refusal_response
from model_server.web.texts import add_texts


def build_app(
    service: Service, *, keys: ApiKeys | None = None, cors_origins: Sequence[str] = ()
) -> ASGIApp:
    """Return the ASGI application of one model."""
    app = _routes()
    add_generation(app, service)
    add_texts(app, service)
    _add_models(app, service)
    _add_small_talk(app, service)
    add_probes(app, service)
    inside: ASGIApp = app if keys is None else Guard(app, keys)
    if cors_origins:
        # Outside the guard: a browser asks without a key whether it may ask with one.
        inside = CORSMiddleware(
            inside,
            allow_origins=cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["x-request-id", "retry-after"],
        )
    return Edge(inside, service.metrics)


def build_probe_app(service: Service) -> ASGIApp:
    """Return the application of the probe port."""
    app = _routes()
    add_probes(app, service)
    return Edge(app, service.metrics)


def _routes() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_exception_handler(ApiError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_exception_handler(Exception, _own_fault)
    return app


def _add_models(app: FastAPI, service: Service) -> None:
    created = int(time.time())
    names = service.names

    def card(name: str, adapter: str) -> dict[str, object]:
        model = service.ready_model()
        adapters = [a.document() for a in service.lifecycle.now().model.adapters]
        own: dict[str, object] = {"adapters": adapters} if adapters else {}
        if adapter:
            own = dict(next(a for a in adapters if a["name"] == adapter))
        return {
            **own,
            "id": name,
            "object": "model",
            "created": created,
            "owned_by": "atelier",
            "root": names.primary,
            "parent": names.primary if adapter else None,
            "max_model_len": model.engine.longest_request,
        }

    @app.get("/v1/models")
    async def models() -> Response:
        cards = [card(n, BASE) for n in names.names] + [card(a, a) for a in names.adapters]
        return JSONResponse({"object": "list", "data": cards})

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> Response:
        adapter = names.adapter_of(name)
        if adapter is None:
            raise errors.model_not_found(names.all)
        return JSONResponse(card(name, adapter))


def _add_small_talk(app: FastAPI, service: Service) -> None:
    document = openapi.document(service.names.primary)

    @app.get("/version")
    async def version() -> Response:
        return JSONResponse({"version": __version__})

    @app.get("/openapi.json")
    async def description() -> Response:
        return JSONResponse(document)

    @app.get("/")
    async def kaito_root() -> Response:
        return JSONResponse({"message": "Server is running"})  # KAITO's words, until its 0.8


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
