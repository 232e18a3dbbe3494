"""
Keep our own voice out of kopf: be the HTTP session of its watches, and let no echo through.

Most events of a crowd are our own writes that the watches bring back. They wake nobody (`echoes`),
but kopf starts a task for each of them and builds two dozen arguments for a handler that drops the
event; that was half of the operator's processor time. So a line of a watch that shows an object
exactly as our last write to it left it ends here. Everything else goes to kopf as it came: lists,
bookmarks, errors, deletions, and every version that somebody else has made.

Invariant: a line is left out only after it was decoded and found to be known; the pattern that is
looked for before only spares decoding the others.

Must not decide what is known.
"""

import json
import re
from collections.abc import AsyncIterator
from typing import Any, Protocol, cast

import aiohttp
import kopf


class Knowing(Protocol):
    """Be the one who knows what we have written."""

    def has_made(self, uid: str, version: str) -> bool:
        """Say whether our last write to an object made this version of it."""

    def knows(self, body: dict[str, Any]) -> bool:
        """Say whether an object, as it is seen, would tell nothing new."""


# Built-in kinds name the uid first, as their fields are declared; custom ones go by the alphabet.
VERSION = re.compile(
    rb'"uid":"([^"]+)","resourceVersion":"(\d+)"|"resourceVersion":"(\d+)","uid":"([^"]+)"'
)
SIGHTS = (b'{"type":"ADDED"', b'{"type":"MODIFIED"')
WATCH = ("watch", "true")


class Sieve:
    """Be the body of a watch, without the lines that tell nothing new."""

    def __init__(self, content: aiohttp.StreamReader, knowing: Knowing) -> None:
        """Read from a body, which answers to everything else that is asked of this one."""
        self._content = content
        self._knowing = knowing

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the body has
        """Be the body itself."""
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Iterate over whole lines, as many at a time as have come."""
        rest = b""
        async for chunk in self._content.iter_chunked(size):
            *lines, rest = (rest + chunk).split(b"\n")
            news = [line for line in lines if not self._tells_nothing(line)]
            if news:
                yield b"\n".join([*news, b""])
        if rest:
            yield rest

    def _tells_nothing(self, line: bytes) -> bool:
        found = VERSION.search(line) if line.startswith(SIGHTS) else None
        if found is None:
            return False
        uid, version = (found[1], found[2]) if found[1] else (found[4], found[3])
        if not self._knowing.has_made(uid.decode(), version.decode()):
            return False
        return self._knowing.knows(json.loads(line)["object"])


def quiet_session(info: kopf.ConnectionInfo, knowing: Knowing) -> kopf.AiohttpSession:
    """Give kopf a session like its own, but for what is known."""

    class Answer(aiohttp.ClientResponse):
        async def start(self, connection: Any) -> aiohttp.ClientResponse:  # noqa: ANN401 - aiohttp's
            await super().start(connection)
            if WATCH in self.url.query.items():
                self.content = cast("aiohttp.StreamReader", Sieve(self.content, knowing))
            return self

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=info.proxy_url,
        response_class=Answer,
    )
    return kopf.AiohttpSession(server=info.server, aiohttp_session=session)
