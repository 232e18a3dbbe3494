"""
Spoil watches: cut them, hold them still, or change what they say.

A watch is a stream of lines, one JSON event each. `edit` sees each line with the request that
opened the stream and gives the lines that the operator hears instead: none withholds it, two double
it.
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from tests.world.api import Manifest
from tests.world.fault_rules import Asked

Edit = Callable[[Asked, bytes], Iterable[bytes]]


def unchanged(_asked: Asked, line: bytes) -> Iterable[bytes]:
    """Pass a line on as it is."""
    return (line,)


def _flowing() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(slots=True)
class Streams:
    """Hold the watches that are open through the proxy."""

    edit: Edit = unchanged
    _flows: asyncio.Event = field(default_factory=_flowing)
    _open: dict[web.StreamResponse, tuple[Asked, web.Request]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Count the open watches."""
        return len(self._open)

    def stall(self) -> None:
        """Let no line through, and keep every connection open."""
        self._flows.clear()

    def flow(self) -> None:
        """Let lines through again."""
        self._flows.set()

    def cut(self, plural: str = "") -> int:
        """Break the connections of the watches of one kind, or of all; return how many."""
        found = [request for asked, request in self._open.values() if plural in {"", asked.plural}]
        for request in found:
            if request.transport is not None:
                request.transport.abort()
        return len(found)

    async def inject(self, plural: str, event: Manifest) -> int:
        """Put a line into the open watches of a kind; return into how many."""
        line = json.dumps(event).encode() + b"\n"
        streams = [each for each, (asked, _) in self._open.items() if asked.plural == plural]
        for stream in streams:
            await stream.write(line)
        return len(streams)

    async def carry(
        self, asked: Asked, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        """Pass a watch on, line by line, until one of both sides ends it."""
        stream = web.StreamResponse(
            status=answer.status, headers={"Content-Type": "application/json"}
        )
        await stream.prepare(request)
        self._open[stream] = asked, request
        try:
            pending = b""
            async for chunk in answer.content.iter_any():
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    await self._flows.wait()
                    for told in self.edit(asked, line):
                        await stream.write(told + b"\n")
        finally:
            del self._open[stream]
        return stream
