"""
Answer the kubelet and Prometheus: `/healthz` and `/readyz` on one port, `/metrics` on another.

Health is earned, not assumed: the handler runs on the operator's only event loop, so an answer
shows that the loop turns, and the answer is good only while the API server has been read lately; of
the one that works, only while its sweep has been answered lately too, since renewing a Lease proves
nothing about the work. A connection that silently froze, or credentials that ran out, end in a
restart, which is cheap. Ready is the same within half a minute: it says who can work now.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

STALE_SECONDS = 180.0
# The Lease is read every two seconds, by the one that works and by the one that stands by.
READY_SECONDS = 30.0


@dataclass(slots=True, kw_only=True)
class Health:
    """Remember when the API server last answered: anything at all, and the sweep's LISTs."""

    stale_seconds: float = STALE_SECONDS
    monotonic: Callable[[], float] = time.monotonic
    _started: float = field(init=False)
    _answered: float | None = None
    _listed: float | None = None

    def __post_init__(self) -> None:
        """Give a process that has just started its time."""
        self._started = self.monotonic()

    def beat(self) -> None:
        """Note that the API server has just answered."""
        self._answered = self.monotonic()

    def beat_list(self) -> None:
        """Note that the LISTs of a sweep were answered; a refusal is an answer."""
        self._listed = self.monotonic()

    @property
    def silent_seconds(self) -> float:
        """Return how long the API server has not answered, counted from the start at most."""
        answered = self._started if self._answered is None else self._answered
        return self.monotonic() - answered

    @property
    def list_age_seconds(self) -> float:
        """Return how long no sweep was answered; 0 where this process has not swept yet."""
        return 0.0 if self._listed is None else self.monotonic() - self._listed

    @property
    def is_good(self) -> bool:
        """Tell whether a restart would be pointless."""
        return max(self.silent_seconds, self.list_age_seconds) < self.stale_seconds

    @property
    def is_ready(self) -> bool:
        """Tell whether this process could work now."""
        return self.is_good and self._answered is not None and self.silent_seconds < READY_SECONDS

    def __str__(self) -> str:
        """Say in one line what the answer rests on."""
        words = f"api server answered {self.silent_seconds:.0f} s ago"
        if self._listed is not None:
            words += f", sweep {self.list_age_seconds:.0f} s ago"
        return words


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
        return web.Response(text=f"{health}\n", status=200 if health.is_good else 503)

    async def readyz(_request: web.Request) -> web.Response:
        return web.Response(text=f"{health}\n", status=200 if health.is_ready else 503)

    async def metrics_page(_request: web.Request) -> web.Response:
        return web.Response(body=metrics(), content_type="text/plain", charset="utf-8")

    runners = []
    try:
        for port, handlers in (
            (health_port, {"/healthz": healthz, "/readyz": readyz}),
            (metrics_port, {"/metrics": metrics_page}),
        ):
            application = web.Application()
            for path, handler in handlers.items():
                application.router.add_get(path, handler)
            runner = web.AppRunner(application, access_log=None)
            runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, port=port).start()
        yield
    finally:
        for runner in runners:
            await runner.cleanup()
