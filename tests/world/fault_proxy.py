"""
A proxy between the operator and the API server that kills the operator at the n-th write.

Plain HTTP in, the API server's TLS out; the caller's token travels along. Lease traffic is not
counted: it is no write of a reconcile.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import aiohttp
import yaml
from aiohttp import web

from tests.cluster import ControlPlane
from tests.cluster.ports import free_ports

HOP_BY_HOP = {"host", "content-length", "accept-encoding", "transfer-encoding", "content-encoding"}
Moment = Literal["before", "after"]


@dataclass(slots=True)
class FaultProxy:
    """Count writes; at number `at`, `before` or `after` it is passed on, call `kill`."""

    session: aiohttp.ClientSession
    port: int
    at: int = 0
    when: Moment = "before"
    kill: Callable[[], None] = lambda: None
    writes: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        counted = request.method != "GET" and "/leases" not in request.path
        fatal = False
        if counted:
            self.writes.append(f"{request.method} {request.path}")
            fatal = len(self.writes) == self.at
        if fatal and self.when == "before":
            self.kill()
            raise ConnectionResetError
        headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
        async with self.session.request(
            request.method, request.path_qs, data=body or None, headers=headers
        ) as answer:
            if "watch=" in request.query_string:
                return await self._stream(request, answer)
            content = await answer.read()
        if fatal:
            self.kill()
            raise ConnectionResetError
        kept = {k: v for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP}
        return web.Response(status=answer.status, body=content, headers=kept)

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        stream = web.StreamResponse(
            status=answer.status, headers={"Content-Type": "application/json"}
        )
        await stream.prepare(request)
        async for chunk in answer.content.iter_any():
            await stream.write(chunk)
        return stream

    def kubeconfig(self, original: Path, copy: Path) -> Path:
        """Write a kubeconfig that leads through the proxy."""
        config = yaml.safe_load(original.read_text())
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self.port}"}
        copy.write_text(yaml.safe_dump(config))
        return copy


@asynccontextmanager
async def fault_proxy(plane: ControlPlane) -> AsyncIterator[FaultProxy]:
    """Run a proxy for the length of a `with`."""
    context = ssl.create_default_context(cafile=str(plane.certificate))
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    (port,) = free_ports(1)
    async with aiohttp.ClientSession(plane.server, connector=connector, timeout=timeout) as session:
        proxy = FaultProxy(session=session, port=port)
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(
            application, handler_cancellation=True, shutdown_timeout=0, access_log=None
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield proxy
        finally:
            await runner.cleanup()
    await asyncio.sleep(0.1)  # TLS says goodbye after close() has returned
