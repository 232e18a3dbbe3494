"""
Send one request to the API server and translate what comes back.

This is the only file that imports the Kubernetes client. Of it we use the reading of credentials
(kubeconfig with all its plugins, the ServiceAccount) and the HTTP transport underneath the
generated classes: bodies go in and out as plain dicts (docs/adr/0002-kubernetes-client.md has the
figures).

Invariant: a request never outlives its time-out, and only reads are sent more than once - with two
exceptions: a write that was refused as unauthorized did not happen, so it is sent again with
credentials read anew; and aiohttp repeats a PUT or DELETE where the API server had closed the idle
connection under it, which can do nothing twice, since each names the version or the uid it is for.

Whoever may not write any more must not do so late. A request can wait for a free connection, for a
handshake, for new credentials, so `before_sending` is asked for every attempt when all of that is
over: before its headers, and once more in the same breath in which its bytes go to the socket.
"""

import asyncio
import json
import os
import random
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import yaml
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from workspace_operator.cluster.errors import (
    Forbidden,
    Throttled,
    Unreachable,
    error_for,
)
from workspace_operator.cluster.kinds import Manifest

TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=10)
# Each TLS connection costs about 0.2 MB here and a handshake there; more of them are not faster.
MAX_CONNECTIONS = 8
READ_ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 0.2
# Source: where the kubelet mounts a pod's ServiceAccount token
# (kubernetes.io/docs/tasks/run-application/access-api-from-pod).
TOKEN_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
FIRST_ERROR_CODE = 400


class NoCredentials(Exception):
    """No kubeconfig and no ServiceAccount could be read."""


def _always() -> None:
    """Let a request pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """
    Describe one request before credentials are added.

    `before_sending` is called for each attempt at the last moment, and raises where it must not go.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: Any = None
    content_type: str = "application/json"
    before_sending: Callable[[], None] = _always

    def __str__(self) -> str:
        """Name the request for a person."""
        return f"{self.method} {self.path}"


class Connection:
    """Hold the credentials and the pool of connections of one API server."""

    def __init__(self, kubeconfig: str | None, on_answer: Callable[[], None]) -> None:
        """Remember where credentials come from, and whom to tell that the API server answered."""
        self._kubeconfig = kubeconfig
        self._on_answer = on_answer
        self._client: ApiClient | None = None
        self._reloading = asyncio.Lock()

    async def open(self) -> None:
        """
        Read the credentials.

        Raises:
            NoCredentials: Nothing usable was found; the message says where we looked.

        """
        self._client = ApiClient(await self._configuration())

    async def close(self) -> None:
        """Close the pool."""
        if self._client is not None:
            await self._client.close()  # type: ignore[no-untyped-call]
            self._client = None

    async def fresh_configuration(self) -> Configuration:
        """
        Read the credentials anew and return them, for another client of the same API server.

        Raises:
            NoCredentials: Nothing usable was found.

        """
        await self._renew(self._open_client)
        configuration: Configuration = self._open_client.configuration
        return configuration

    @property
    def _open_client(self) -> ApiClient:
        if self._client is None:
            message = "the connection is not open"
            raise RuntimeError(message)
        return self._client

    async def _configuration(self) -> Configuration:
        # As kopf does: proxies come from the kubeconfig. Looking into the environment and ~/.netrc
        # would cost two hops to a thread for each request.
        configuration = Configuration(
            client_session_kwargs={"trust_env": False},
            connection_pool_maxsize=MAX_CONNECTIONS,
            trace_configs=[_last_moment()],
        )
        try:
            if self._kubeconfig is None and TOKEN_FILE.exists():  # noqa: ASYNC240 - once, in memory
                load_incluster_config(configuration)  # type: ignore[no-untyped-call]
            else:
                await load_kube_config(  # type: ignore[no-untyped-call]
                    config_file=self._kubeconfig, client_configuration=configuration
                )
        except (ConfigException, OSError, TypeError, ValueError, yaml.YAMLError) as error:
            raise NoCredentials(_unusable(self._kubeconfig, error)) from error
        return configuration

    async def _renew(self, used: ApiClient) -> None:
        """Read the credentials anew, once for all requests that failed with the old ones."""
        async with self._reloading:
            if self._client is used:
                self._client = ApiClient(await self._configuration())
                await used.close()  # type: ignore[no-untyped-call]

    async def read(self, request: Request) -> Manifest:
        """Send a read, again after a pause where that can help."""
        for attempt in range(1, READ_ATTEMPTS):
            pause = FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1)  # noqa: S311 - jitter
            try:
                return await self.send(request)
            except Throttled as refusal:
                pause = max(pause, refusal.retry_after_seconds)
            except Unreachable:
                pass
            await asyncio.sleep(pause)
        return await self.send(request)

    async def send(self, request: Request) -> Manifest:
        """
        Send a request once, or twice where the first was refused for old credentials.

        Raises:
            ClusterError: As the port's error contract says.

        """
        client = self._open_client
        try:
            answer = await _exchange(client, request)
        except Forbidden as refusal:
            if not refusal.credentials_are_stale:
                raise
            await self._renew(client)
            answer = await _exchange(self._open_client, request)
        self._on_answer()
        return answer


def _unusable(kubeconfig: str | None, error: Exception) -> str:
    """Say in one line where credentials were looked for, and what is wrong there."""
    if kubeconfig:
        where, files = kubeconfig, [Path(each) for each in kubeconfig.split(os.pathsep)]
    else:
        where = "the pod's ServiceAccount or ~/.kube/config"
        files = [TOKEN_FILE, Path("~/.kube/config").expanduser()]
    found = any(file.exists() for file in files)
    why = " ".join(str(error).split()) if found else "there is no such file"
    return f"no usable credentials in {where}: {why}; set KUBECONFIG"


# The request of the present task; aiohttp's hooks are not told which of ours they are called for.
_before_sending: ContextVar[Callable[[], None]] = ContextVar("before_sending", default=_always)


def _last_moment() -> aiohttp.TraceConfig:
    """Hook into a request where it has its connection, and again where its bytes are written."""

    async def ask(*_: object) -> None:
        _before_sending.get()()

    hooks = aiohttp.TraceConfig()
    hooks.on_request_headers_sent.append(ask)
    hooks.on_request_chunk_sent.append(ask)
    return hooks


async def _exchange(client: ApiClient, request: Request) -> Manifest:
    _before_sending.set(request.before_sending)
    # As `param_serialize` would have it, but for a copy of the body, member by member: bodies are
    # plain already, and that took longer than to encode them.
    url = f"{client.configuration.host}{request.path}"
    if request.query:
        url += f"?{urlencode(request.query, quote_via=quote)}"
    headers = {"Accept": "application/json", "Content-Type": request.content_type}
    headers |= client.default_headers
    await client.update_params_for_auth(
        headers, None, ["BearerToken"], request.path, request.method, request.body
    )
    try:
        response = await client.call_api(
            request.method, url, headers, body=request.body, _request_timeout=TIMEOUT
        )
        content = _parsed(await response.read())  # type: ignore[no-untyped-call]
    except (aiohttp.ClientError, TimeoutError, OSError) as broken:
        raise Unreachable(str(request), str(broken) or type(broken).__name__) from broken
    if response.status < FIRST_ERROR_CODE:
        return content
    retry_after = response.headers.get("Retry-After")
    raise error_for(str(request), response.status, content, retry_after)


def _parsed(body: bytes) -> Manifest:
    """Return the answer's object; a body that is none is kept as a message."""
    try:
        content = json.loads(body or b"{}")
    except ValueError:
        return {"message": body[:200].decode(errors="replace")}
    return content if isinstance(content, dict) else {}
