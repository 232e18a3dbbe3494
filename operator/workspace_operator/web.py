"""
Answer the kubelet and Prometheus: `/healthz` on one port, `/metrics` on another.

Health is earned, not assumed: the handler runs on the operator's only event loop, so an answer
shows that the loop turns, and the answer is good only while the API server has been read lately. A
connection that silently froze, or credentials that ran out, end in a restart, which is cheap.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

STALE_SECONDS = 180.0


@dataclass(slots=True, kw_only=True)
class Health:
    """Remember when the API server last answered a read."""

    stale_seconds: float = STALE_SECONDS
    monotonic: Callable[[], float] = time.monotonic
    _last: float | None = None

    def beat(self) -> None:
        """Note that the API server has just answered."""
        self._last = self.monotonic()

    @property
    def silent_seconds(self) -> float:
        """Return how long the API server has not answered; the first call starts the clock."""
        if self._last is None:
            self.beat()
        return self.monotonic() - (self._last or 0.0)

    @property
    def is_good(self) -> bool:
        """Tell whether a restart would be pointless."""
        return self.silent_seconds < self.stale_seconds


@asynccontextmanager
async def serve(
    *, health: Health, health_port: int, metrics: Callable[[], bytes], metrics_port: int
) -> AsyncIterator[None]:
    """
    Serve both ports for the length of a `with`.

    Raises:
        OSError: A port is taken.

    """

    async def healthz(_request: web.Request) -> web.Response:
        text = f"api server answered {health.silent_seconds:.0f} s ago\n"
        return web.Response(text=text, status=200 if health.is_good else 503)

    async def metrics_page(_request: web.Request) -> web.Response:
        return web.Response(body=metrics(), content_type="text/plain", charset="utf-8")

    runners = []
    try:
        for port, path, handler in (
            (health_port, "/healthz", healthz),
            (metrics_port, "/metrics", metrics_page),
        ):
            application = web.Application()
            application.router.add_get(path, handler)
            runner = web.AppRunner(application, access_log=None)
            runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, port=port).start()
        yield
    finally:
        for runner in runners:
            await runner.cleanup()
