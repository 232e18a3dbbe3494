"""A training in a pod, played: a real HTTP server at /status, and an end that a test chooses."""

import asyncio
import json
from typing import Any

from aiohttp import web

from tests.world.listening import Listener


class Training:
    """Be at some step until `end` is called with an exit code and last words."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {"phase": "loading"}
        self.ended = asyncio.Event()
        self.exit_code = 0
        self.last_words = ""
        self.listener = Listener(("GET", "/status", self._status))

    def succeed(self) -> None:
        self.end(0, json.dumps({**self.figures, "phase": "succeeded"}))

    def end(self, exit_code: int, last_words: str) -> None:
        self.exit_code, self.last_words = exit_code, last_words
        self.ended.set()

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(self.figures)
