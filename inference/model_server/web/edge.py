"""
Stand around the application: one request id, one log line, no traceback per request.

A caller's request id is honoured where it is harmless to log and to send back; else it gets one.
The log line holds sizes, times and the id, never a word of a prompt or of an answer. A fault of our
own is logged with its traceback and answered with a plain 500.

A pure ASGI wrapper: it passes every message on as it comes, so that streams stay streams and
disconnects arrive. Must not import torch or transformers.
"""

import logging
import re
import secrets
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model_server.api import errors
from model_server.api.errors import Problem
from model_server.api.metrics import Metrics
from model_server.web.bodies import ClientLeft
from model_server.web.refusal import refusal_response
from model_server.web.uvicorn_config import MAX_HEADER_BYTES

logger = logging.getLogger(__name__)

REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
MAX_HEADERS = 100
HEADERS_TOO_LARGE = 431
PATHS = frozenset(
    {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/models",
        "/tokenize",
        "/detokenize",
        "/version",
        "/openapi.json",
        "/chat",
        "/",
        "/health",
        "/ready",
        "/metrics",
    }
)
QUIET = frozenset({"/health", "/ready", "/metrics"})  # asked every few seconds
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Edge:
    """Wrap an ASGI application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Keep what is inside, and where to count."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        try:
            refusal = _header_refusal(scope["headers"])
            if refusal is not None:
                await _answer(refusal, scope, receive, exchange.send)
            else:
                await self._app(scope, receive, exchange.send)
        except ClientLeft:
            exchange.notes["client_left"] = True
        except Exception:
            # The boundary of a request: its fault must not reach the connection's other requests.
            logger.exception("request_failed", extra={"request_id": exchange.request_id})
            if exchange.status is None:
                await _answer(errors.internal().problem, scope, receive, exchange.send)
        finally:
            self._record(scope, exchange)

    def _record(self, scope: Scope, exchange: "_Exchange") -> None:
        path = scope["path"] if scope["path"] in PATHS else "other"
        method = scope["method"] if scope["method"] in METHODS else "other"
        status = str(exchange.status or "none")
        seconds = time.monotonic() - exchange.started
        self._metrics.http_requests.labels(method, path, status).inc()
        self._metrics.http_seconds.labels(path).observe(seconds)
        level = logging.DEBUG if path in QUIET else logging.INFO
        fields = {
            "request_id": exchange.request_id,
            "method": method,
            "path": path,
            "status": exchange.status,
            "seconds": round(seconds, 4),
            **exchange.notes,
        }
        logger.log(level, "request", extra=fields)


class _Exchange:
    """Follow one request: its id, its status, and what the application notes for the log."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.started = time.monotonic()
        self.request_id = _request_id(scope["headers"])
        self.status: int | None = None
        self.notes: dict[str, Any] = {}
        self._send = send
        scope["state"].update(request_id=self.request_id, notes=self.notes)

    async def send(self, message: Message) -> None:
        """Pass a message on, with the request id among the headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            header = (b"x-request-id", self.request_id.encode())
            message = {**message, "headers": [*message.get("headers", ()), header]}
        await self._send(message)


def _request_id(headers: list[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return value.decode("ascii")
    return secrets.token_hex(16)


def _header_refusal(headers: list[tuple[bytes, bytes]]) -> Problem | None:
    size = sum(len(name) + len(value) for name, value in headers)
    if len(headers) <= MAX_HEADERS and size <= MAX_HEADER_BYTES:
        return None
    message = f"more than {MAX_HEADERS} headers, or more than {MAX_HEADER_BYTES:,} bytes of them"
    return Problem(status=HEADERS_TOO_LARGE, message=message, code="headers_too_large")


async def _answer(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    await refusal_response(problem)(scope, receive, send)
