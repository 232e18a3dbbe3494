"""The model in a pod, played: a real HTTP server that speaks the contract (architecture.md)."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.world.listening import Listener


class Model:
    """Listen on an address of one's own, and be in whatever state the test wants."""

    def __init__(
        self, name: str = "mistral-7b-instruct", on_token: Callable[[], None] = lambda: None
    ) -> None:
        self.name = name
        self._on_token = on_token
        self.phase = "ready"
        self.tokens = 0
        self.answers_tokens = True
        self.loaded = 0
        self.speed = 0
        self.fetch_end: tuple[int, str] | None = None
        self.listener = Listener(
            ("GET", "/ready", self._ready),
            ("GET", "/health", self._health),
            ("POST", "/v1/completions", self._complete),
        )

    @property
    def ready(self) -> bool:
        return self.phase == "ready"

    def state(self) -> dict[str, Any]:
        loaded = (
            self.loaded if self.phase in {"starting", "loading", "fetching"} else 14_483_464_192
        )
        seconds = {"import": 3.2}
        if self.ready:
            seconds |= {"load": 9.1, "first_token": 0.4}
        return {
            "ready": self.ready,
            "phase": self.phase,
            "model": {"name": self.name, "revision": "9ab9e76e2b09f9f29ea2d56aa5bd139e4445c59e"},
            "progress": {
                "bytes_loaded": loaded,
                "bytes_total": 14_483_464_192,
                "bytes_per_second": self.speed,
            },
            "seconds": seconds,
            "error": None,
        }

    async def _ready(self, _request: web.Request) -> web.Response:
        return web.json_response(self.state(), status=200 if self.ready else 503)

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({})

    async def _complete(self, request: web.Request) -> web.Response:
        await request.json()
        if not (self.ready and self.answers_tokens):
            return web.json_response({"error": {"message": "not now"}}, status=503)
        self.tokens += 1
        self._on_token()
        return web.json_response({"choices": [{"text": "!"}]})
