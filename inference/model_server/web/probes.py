"""
Answer probes and scrapes from what is known already: none of them waits for anything.

    GET /health    200 while the process can still come to serve
    GET /ready     200 once a token has been generated; how far it is, in either case
    GET /metrics   Prometheus

The main port has them, and the probe port has nothing else. They are called from two threads, so
everything they read is either guarded by a lock or replaced whole.

Must not import torch or transformers.
"""

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response

from model_server.api.metrics import CONTENT_TYPE
from model_server.api.service import Service


def add_probes(app: FastAPI, service: Service) -> None:
    """Add the three routes."""

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
