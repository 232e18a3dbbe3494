"""A training in a pod, played: a real HTTP server at /status, and an end that a test chooses."""

import asyncio
import ipaddress
import json
import secrets
from typing import Any

from aiohttp import web

from tests.world.listening import stop_listening

PORT = 5000


class Training:
    """Be at some step until `end` is called with an exit code and last words."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {"phase": "loading"}
        self.ended = asyncio.Event()
        self.exit_code = 0
        self.last_words = ""
        self.address = str(ipaddress.IPv4Address("127.0.0.0") + 256 + secrets.randbelow(2**23))
        self._runner: web.AppRunner | None = None

    def succeed(self) -> None:
        self.end(0, json.dumps({**self.figures, "phase": "succeeded"}))

    def end(self, exit_code: int, last_words: str) -> None:
        self.exit_code, self.last_words = exit_code, last_words
        self.ended.set()

    async def start(self) -> None:
        application = web.Application()
        application.router.add_get("/status", self._status)
        self._runner = web.AppRunner(application, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.address, PORT).start()

    async def stop(self) -> None:
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await stop_listening(runner)

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(self.figures)
