"""
Configure uvicorn as every port of this server needs it: bounded, silent, nothing guessed.

Must not import torch or transformers.
"""

from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from model_server.web.connection import GuardedConnection
from model_server.web.tls import Certificate

MAX_HEADER_BYTES = 16 * 1024
KEEP_ALIVE_SECONDS = 30
LAST_BYTES_SECONDS = 2  # for answers that are written when the decision to exit has fallen


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Say how bytes become requests on one port."""

    protocol: type[GuardedConnection] = GuardedConnection
    certificate: Certificate | None = None


def configuration(app: ASGIApp, wire: Wire) -> uvicorn.Config:
    """Return the configuration of one port."""
    context = wire.certificate.context if wire.certificate else None
    return uvicorn.Config(
        app,
        http=wire.protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=LAST_BYTES_SECONDS,
        ssl_context_factory=(lambda _config, _default: context) if context else None,
    )
