"""
A proxy between the operator and the API server that does harm by rule.

Plain HTTP in, the API server's TLS out; the caller's token travels along. Every request is noted
with its answer, and the rules (`fault_rules.py`) are asked about each. Watches go through
`streams`.
"""

import asyncio
import contextlib
import json
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

from tests.cluster import ControlPlane
from tests.cluster.ports import free_ports
from tests.world.api import Manifest
from tests.world.fault_rules import (
    Action,
    Answer,
    Asked,
    Call,
    Delay,
    Drop,
    Kill,
    Rule,
    verb_of,
)
from tests.world.fault_streams import Streams

# Broken connections are what this is for; aiohttp would tell of each of them.
QUIET = logging.getLogger("fault proxy")
QUIET.setLevel(logging.CRITICAL)
HOP_BY_HOP = {"host", "content-length", "accept-encoding", "transfer-encoding", "content-encoding"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """
    Note one request and what came of it.

    Attributes:
        asked: The request.
        at: When it came, on the monotonic clock.
        status: What the API server answered; 0 where it was not asked or has not answered yet.
    """

    asked: Asked
    at: float
    status: int = 0


@dataclass(slots=True)
class FaultProxy:
    """Carry requests, note them, and do to them what the rules say."""

    session: aiohttp.ClientSession
    port: int
    kill: Callable[[], None] = lambda: None
    rules: list[Rule] = field(default_factory=list)
    log: list[Exchange] = field(default_factory=list)
    streams: Streams = field(default_factory=Streams)
    lists: dict[str, bytes] = field(default_factory=dict)

    @property
    def writes(self) -> list[str]:
        """Return the writes of reconciles so far, in order."""
        return [str(each.asked) for each in self.log if each.asked.is_write]

    def add(self, rule: Rule) -> Rule:
        """Put a rule into force; the first that meets a request acts on it."""
        self.rules.append(rule)
        return rule

    @contextlib.contextmanager
    def obeying(self, *rules: Rule) -> Iterator[None]:
        """Keep rules in force for the length of a `with`."""
        self.rules += rules
        try:
            yield
        finally:
            self.rules = [each for each in self.rules if each not in rules]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Carry one request."""
        body = await request.read()
        asked = Asked(
            verb=verb_of(request.method, request.path, request.query_string),
            path=request.path,
            query=request.query_string,
            body=_parsed(body),
            token=request.headers.get("Authorization", "").removeprefix("Bearer "),
        )
        place = len(self.log)
        self.log.append(Exchange(asked=asked, at=time.monotonic()))
        rule = next((each for each in self.rules if each.meets(asked)), None)
        if rule is not None and rule.moment == "before":
            answer = await self._act(rule.action, request)
            if answer is not None:
                return answer
        headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
        async with self.session.request(
            request.method, request.path_qs, data=body or None, headers=headers
        ) as answered:
            noted = self.log[place]
            self.log[place] = Exchange(asked=asked, at=noted.at, status=answered.status)
            if asked.verb == "WATCH" and answered.status < 400:
                return await self.streams.carry(asked, request, answered)
            content = await answered.read()
        if asked.verb == "LIST":
            self.lists[asked.path] = content
        if rule is not None and rule.moment == "after":
            answer = await self._act(rule.action, request)
            if answer is not None:
                return answer
        kept = {k: v for k, v in answered.headers.items() if k.lower() not in HOP_BY_HOP}
        return web.Response(status=answered.status, body=content, headers=kept)

    async def _act(self, action: Action, request: web.Request) -> web.Response | None:
        """Do harm; return the answer where it ends the request."""
        match action:
            case Kill():
                self.kill()
                _hang_up(request)
            case Drop():
                _hang_up(request)
            case Delay(seconds=seconds):
                await asyncio.sleep(seconds)
            case Call(what=what):
                await what()
            case Answer(status=status, body=body, headers=headers):
                return web.Response(status=status, body=body, headers=dict(headers))
        return None

    def kubeconfig(self, original: Path, copy: Path) -> Path:
        """Write a kubeconfig that leads through the proxy."""
        config = yaml.safe_load(original.read_text())
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self.port}"}
        copy.write_text(yaml.safe_dump(config))
        return copy


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError


def _parsed(body: bytes) -> Manifest:
    content = json.loads(body or b"{}")
    return content if isinstance(content, dict) else {}


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
            application,
            handler_cancellation=True,
            shutdown_timeout=0,
            access_log=None,
            logger=QUIET,
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield proxy
        finally:
            await runner.cleanup()
    await asyncio.sleep(0.1)  # TLS says goodbye after close() has returned
