"""A few verbs of the API server, as the administrator: small, and not the code under test."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any, Self

import aiohttp

from tests.cluster import ControlPlane

Manifest = dict[str, Any]
MERGE = "application/merge-patch+json"
WORKSPACES = "/apis/kaito.sh/v1beta1"
CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"
# A cloud and a kubelet live on while the API server is away, and so does a patient user.
PATIENCE_SECONDS = 30.0
AWAY = 500
CONFLICT = 409


class ApiError(RuntimeError):
    """The API server refused; `status` has the HTTP code."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


def said(body: str) -> str:
    """
    Return what a refusal says: the message of a Status, or the whole body.

    A server that is dying, or a proxy before it, answers without JSON.
    """
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body


class Api:
    """One pool of connections to one API server."""

    def __init__(self, plane: ControlPlane, *, connections: int = 0) -> None:
        self._plane = plane
        self._connections = connections  # 0: as many as requests are under way
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        context = ssl.create_default_context(cafile=str(self._plane.certificate))
        self._session = aiohttp.ClientSession(
            base_url=self._plane.server,
            connector=aiohttp.TCPConnector(ssl=context, limit=self._connections),
            headers={"Authorization": f"Bearer {self._plane.administrator_token()}"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0.1)  # TLS says goodbye after close() has returned

    @property
    def session(self) -> aiohttp.ClientSession:
        assert self._session is not None
        return self._session

    async def send(
        self, method: str, path: str, body: Manifest | None = None, *, kind: str = ""
    ) -> Manifest:
        """
        Send one request, again while the API server is away.

        Args:
            method: As HTTP has it.
            path: With the query.
            body: If there is one.
            kind: The content type, JSON where none is given.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return await self._send_once(method, path, body, kind)
            except aiohttp.ClientConnectionError:
                if time.monotonic() > deadline:
                    raise
            except ApiError as error:
                if error.status < AWAY or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.1)

    async def _send_once(
        self, method: str, path: str, body: Manifest | None, kind: str
    ) -> Manifest:
        headers = {"Content-Type": kind or "application/json"}
        data = json.dumps(body) if body is not None else None
        async with self.session.request(method, path, data=data, headers=headers) as response:
            if response.status >= 400:
                raise ApiError(response.status, said(await response.text()))
            answer: Manifest = await response.json(content_type=None) or {}
            return answer

    async def get(self, path: str) -> Manifest | None:
        """Return an object, or None where there is none."""
        try:
            return await self.send("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def items(self, path: str) -> list[Manifest]:
        """Return the items of a collection."""
        found: list[Manifest] = (await self.send("GET", path)).get("items", [])
        return found

    async def create(self, path: str, body: Manifest) -> Manifest:
        """Create an object."""
        return await self.send("POST", path, body)

    async def merge(self, path: str, body: Manifest) -> Manifest:
        """
        Merge fields into an object, or into its status by a path that ends so.

        The API server gives up a patch that others were quicker than five times in a row; one that
        names no version is meant for whatever is there, so it is sent again.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return await self.send("PATCH", path, body, kind=MERGE)
            except ApiError as error:
                meant = not {"resourceVersion", "uid"} & body.get("metadata", {}).keys()
                if error.status != CONFLICT or not meant or time.monotonic() > deadline:
                    raise

    async def delete(self, path: str, body: Manifest | None = None) -> None:
        """Delete an object; one that is gone is fine."""
        try:
            await self.send("DELETE", path, body)
        except ApiError as error:
            if error.status != 404:
                raise

    async def watch(self, path: str, query: str = "") -> AsyncIterator[tuple[str, Manifest]]:
        """Yield every object that is there, then every change, for ever."""
        extra = f"&{query}" if query else ""
        while True:
            try:
                page = await self.send("GET", f"{path}?limit=0{extra}")
                for item in page.get("items", []):
                    yield "ADDED", item
                version = page["metadata"]["resourceVersion"]
                async for event in self._stream(f"{path}?watch=1&resourceVersion={version}{extra}"):
                    yield event
            except (aiohttp.ClientError, ApiError, TimeoutError):
                await asyncio.sleep(0.2)

    async def _stream(self, path: str) -> AsyncIterator[tuple[str, Manifest]]:
        async with self.session.get(path) as response:
            if response.status >= 400:
                raise ApiError(response.status, said(await response.text()))
            pending = b""
            async for chunk in response.content.iter_any():
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise ApiError(410, str(event["object"].get("message")))
                    yield event["type"], event["object"]
