"""
A real server on a free port, over a runner that counts instead of thinking.

Its tokenizer writes each character as its code point, so "abc" is answered by "def...": every test
can say what must come. Nothing is mocked between the socket and the engine's thread.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
from model_server.api.lifecycle import Lifecycle, ModelIdentity, Phase
from model_server.api.metrics import Metrics
from model_server.api.model_names import ModelNames
from model_server.api.service import AnswerLimits, ServedModel, Service
from model_server.engine.engine import Engine
from model_server.engine.engine_state import EngineLimits
from model_server.text.chat_prompt import Tool, Turn, check_turns
from model_server.text.tool_form import ToolForm, UnknownForm
from model_server.web.api_keys import ApiKeys
from model_server.web.app import build_app, build_probe_app
from model_server.web.probe_server import ProbeServer
from model_server.web.server import Load, ModelServer
from model_server.web.uvicorn_config import Wire

from tests.model_server.fake_runner import FakeRunner

CHAT = "/v1/chat/completions"
COMPLETION = "/v1/completions"
USER = [{"role": "user", "content": "abc"}]

NAMES = ("tiny", "tiny-mistral", "atelier/Tiny-Mistral")
BEGIN = 1


class CodePoints:
    """Tokenize by code point; the ids below 32 are control tokens and decode to nothing."""

    tool_form: ToolForm | UnknownForm | None = None

    async def encode_text(self, text: str, *, limit: int) -> list[int]:
        del limit
        return [BEGIN, *map(ord, text)]

    async def encode_chat(
        self, turns: Sequence[Turn], *, limit: int, tools: Sequence[Tool] = ()
    ) -> list[int]:
        assert not tools
        check_turns(turns)
        return await self.encode_text("".join(turn["content"] for turn in turns), limit=limit)

    def decode(self, token_ids: Sequence[int]) -> str:
        return "".join(chr(i) for i in token_ids if i >= 32)

    def token_bytes(self, token_id: int) -> bytes:
        return chr(token_id).encode()


@dataclass
class Running:
    """What a test can reach of a server that runs."""

    url: str
    port: int
    client: httpx.AsyncClient
    server: ModelServer
    service: Service
    ended: asyncio.Task[int]

    @property
    def engine(self) -> Engine:
        assert self.service.loaded is not None
        engine = self.service.loaded.engine
        assert isinstance(engine, Engine)
        return engine

    async def until_ready(self) -> None:
        await until(lambda: self.service.lifecycle.now().is_ready, seconds=50)

    async def until_free(self) -> None:
        """Wait until the engine holds nothing of any request."""
        await until(lambda: self.engine.statistics().running == 0)
        await until(lambda: self.engine.statistics().waiting == 0)
        assert self.engine.statistics().kv_blocks_used == 0

    async def chat(self, content: str = "abc", **fields: object) -> httpx.Response:
        body = {"messages": [{"role": "user", "content": content}], "temperature": 0, **fields}
        return await self.client.post("/v1/chat/completions", json=body)


async def status(running: Running, path: str) -> int:
    return (await running.client.get(path)).status_code


def check_error(response: httpx.Response, status: int) -> dict[str, str | None]:
    assert response.status_code == status, response.text
    assert len(response.content) < 2_000
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    body = response.json()
    assert body.keys() == {"error"}
    error: dict[str, str | None] = body["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


async def until(holds: Callable[[], bool], *, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - the conditions are of another thread and have no event
            await asyncio.sleep(0.005)


def listen() -> socket.socket:
    listener = socket.socket()
    # Small, so that a client that does not read is noticed after kilobytes, not megabytes.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


def counting(
    runner: FakeRunner | None = None,
    limits: EngineLimits | None = None,
    before_load: Callable[[Lifecycle], None] = lambda _lifecycle: None,
) -> Load:
    """Load the runner that counts; `before_load` runs in the loading thread."""

    def load(lifecycle: Lifecycle) -> ServedModel:
        before_load(lifecycle)
        lifecycle.enter(Phase.LOADING)
        return ServedModel(
            engine=Engine(
                runner or FakeRunner(max_model_len=128),
                limits or EngineLimits(max_sequences=4, max_queued=4),
            ),
            tokenizer=CodePoints(),
        )

    return load


@dataclass(frozen=True, kw_only=True)
class Edges:
    """What stands between a client and the routes, where a test is about that."""

    keys: ApiKeys | None = None
    cors_origins: Sequence[str] = ()
    wire: Wire = field(default_factory=Wire)
    probes: socket.socket | None = None
    verify: ssl.SSLContext | bool = True  # the client's side of TLS


@asynccontextmanager
async def serving(
    load: Load | None = None,
    *,
    names: Sequence[str] | ModelNames = NAMES,
    wait: bool = True,
    drain_seconds: float = 5.0,
    limits: AnswerLimits | None = None,
    edges: Edges | None = None,
) -> AsyncIterator[Running]:
    """Run a server for the length of a test."""
    known = names if isinstance(names, ModelNames) else ModelNames.of(names)
    edges = edges or Edges()
    lifecycle = Lifecycle(ModelIdentity(name=known.primary, revision="0" * 40))
    service = Service(known, lifecycle, Metrics(known.primary, known.adapters), limits)
    probes = ProbeServer(build_probe_app(service), edges.probes) if edges.probes else None
    server = ModelServer(
        build_app(service, keys=edges.keys, cors_origins=edges.cors_origins),
        service,
        load or counting(),
        drain_seconds=drain_seconds,
        wire=edges.wire,
        probes=probes,
    )
    listener = listen()
    port = listener.getsockname()[1]
    scheme = "https" if edges.wire.certificate else "http"
    url = f"{scheme}://127.0.0.1:{port}"
    ended = asyncio.create_task(server.run(listener))
    async with httpx.AsyncClient(
        base_url=url, trust_env=False, timeout=30, verify=edges.verify
    ) as client:
        running = Running(url, port, client, server, service, ended)
        if wait:
            await running.until_ready()
        try:
            yield running
        finally:
            server.drain()
            await client.aclose()
            server.drain()
            await asyncio.wait_for(ended, 20)
