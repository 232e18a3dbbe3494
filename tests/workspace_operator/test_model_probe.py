"""A pod is believed when a token came out of it, and can do the operator no harm."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from workspace_operator import model_probe
from workspace_operator.model_probe import PROOF_LASTS_SECONDS, ModelProbe, by_readiness
from workspace_operator.snapshot import ModelAnswer, ObservedCondition, Pod

READY: dict[str, Any] = {
    "ready": True,
    "phase": "ready",
    "model": {"name": "mistral-7b-instruct", "revision": "9ab9e76e", "digest": "sha256:1"},
    "progress": {"bytes_loaded": 10, "bytes_total": 10},
    "seconds": {"import": 3.2, "first_token": 0.4},
    "error": None,
}
LOADING: dict[str, Any] = {
    **READY,
    "ready": False,
    "phase": "loading",
    "progress": {"bytes_loaded": 3, "bytes_total": 10},
    "seconds": {"import": 3.2},
}


class Server:
    """A real HTTP server that answers as the test says."""

    def __init__(self) -> None:
        self.ready: Callable[[], web.StreamResponse] = lambda: web.json_response(READY)
        self.completion_status = 200
        self.completions: list[dict[str, Any]] = []
        self.pause = asyncio.Event()
        self.pause.set()
        self.port = 0

    async def _ready(self, _request: web.Request) -> web.StreamResponse:
        return self.ready()

    async def _complete(self, request: web.Request) -> web.Response:
        self.completions.append(await request.json())
        await self.pause.wait()
        return web.json_response({"choices": [{"text": "!"}]}, status=self.completion_status)

    async def start(self) -> web.AppRunner:
        application = web.Application()
        application.router.add_get("/ready", self._ready)
        application.router.add_post("/v1/completions", self._complete)
        runner = web.AppRunner(application, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    runner = await server.start()
    yield server
    server.pause.set()
    await runner.cleanup()


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def probe(server: Server, clock: Clock) -> AsyncIterator[ModelProbe]:
    probe = ModelProbe(interval_seconds=30, port=server.port, monotonic=clock)
    yield probe
    await probe.close()


def pod(name: str = "mistral-0", **changes: Any) -> Pod:  # noqa: ANN401 - any field
    started = datetime(2026, 1, 1, tzinfo=UTC)
    fields = {"name": name, "uid": f"uid-{name}", "ip": "127.0.0.1", "started": started, **changes}
    return Pod(**fields)


async def ask(probe: ModelProbe, asked: Pod | None = None) -> ModelAnswer:
    asked = asked or pod()
    return (await probe.answers([asked]))[asked.name]


async def test_a_ready_server_is_believed_after_one_token(
    server: Server, probe: ModelProbe
) -> None:
    answer = await ask(probe)
    assert answer == ModelAnswer(
        ready=True,
        phase="ready",
        bytes_loaded=10,
        bytes_total=10,
        seconds={"import": 3.2, "first_token": 0.4},
        model_name="mistral-7b-instruct",
        model_revision="9ab9e76e",
        model_digest="sha256:1",
        token_generated=True,
    )
    assert server.completions == [
        {"model": "mistral-7b-instruct", "prompt": "Hello", "max_tokens": 1}
    ]


async def test_a_token_is_asked_for_once_per_interval(
    server: Server, probe: ModelProbe, clock: Clock
) -> None:
    for _ in range(5):
        assert (await ask(probe)).token_generated
    assert len(server.completions) == 1
    clock.now += 30
    assert (await ask(probe)).token_generated
    assert len(server.completions) == 2


async def test_a_restarted_container_must_prove_itself_again(
    server: Server, probe: ModelProbe
) -> None:
    await ask(probe)
    await ask(probe, pod(restarts=1))
    assert len(server.completions) == 2


async def test_a_loading_server_tells_how_far_it_is_and_is_asked_for_nothing(
    server: Server, probe: ModelProbe
) -> None:
    server.ready = lambda: web.json_response(LOADING, status=503)
    answer = await ask(probe)
    assert (answer.ready, answer.phase, answer.token_generated) == (False, "loading", False)
    assert (answer.bytes_loaded, answer.bytes_total) == (3, 10)
    assert server.completions == []


async def test_a_server_that_cannot_generate_is_not_believed(
    server: Server, probe: ModelProbe, clock: Clock
) -> None:
    await ask(probe)
    clock.now += 30
    server.completion_status = 500
    answer = await ask(probe)
    assert answer.ready
    assert not answer.token_generated
    assert answer.error == "POST /v1/completions gave no token: HTTP 500"


async def test_a_busy_server_keeps_its_proof_for_a_while(
    server: Server, probe: ModelProbe, clock: Clock
) -> None:
    await ask(probe)
    server.completion_status = 429
    clock.now += PROOF_LASTS_SECONDS - 1
    assert (await ask(probe)).token_generated
    clock.now += 1
    assert not (await ask(probe)).token_generated


async def test_a_server_that_was_busy_from_the_start_has_proven_nothing(
    server: Server, probe: ModelProbe
) -> None:
    server.completion_status = 429
    assert not (await ask(probe)).token_generated


async def test_a_server_that_hangs_costs_bounded_time(
    server: Server, probe: ModelProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_probe, "TOKEN_SECONDS", 0.05)
    server.pause.clear()
    answer = await ask(probe)
    assert not answer.token_generated
    assert "nothing within 0.05 s" in answer.error


async def test_a_closed_port_is_an_answer_too(probe: ModelProbe) -> None:
    probe.port = 1
    answer = await ask(probe)
    assert answer.phase == ""
    assert answer.error.startswith("no answer from 127.0.0.1:1: ")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"[]",
        b"null",
        b'{"ready": true}',
        b'{"ready": true, "phase": 7, "model": [], "progress": 1, "seconds": null}',
        b"\xff\xfe",
        b"[" * 60_000,
        b'"' + b"x" * 200_000 + b'"',
    ],
)
async def test_nonsense_is_an_error_and_never_an_exception(
    server: Server, probe: ModelProbe, body: bytes
) -> None:
    server.ready = lambda: web.Response(body=body)
    answer = await ask(probe)
    assert answer.error
    assert not answer.ready
    assert not answer.token_generated


async def test_wrong_types_inside_a_good_answer_stay_empty(
    server: Server, probe: ModelProbe
) -> None:
    odd = {
        "ready": "yes",
        "phase": "x" * 10_000,
        "model": {"name": 5},
        "progress": {"bytes_loaded": -1, "bytes_total": True},
        "seconds": {"import": "long", "load": -2, "warm": 1},
    }
    server.ready = lambda: web.Response(text=json.dumps(odd))
    answer = await ask(probe)
    assert not answer.ready
    assert len(answer.phase) == model_probe.MAX_TEXT
    assert (answer.bytes_loaded, answer.bytes_total, answer.model_name) == (0, 0, "")
    assert answer.seconds == {"warm": 1.0}


async def test_a_redirect_is_not_followed(server: Server, probe: ModelProbe) -> None:
    location = f"http://127.0.0.1:{server.port}/v1/completions"
    server.ready = lambda: web.Response(status=307, headers={"Location": location})
    assert "without a phase" in (await ask(probe)).error
    assert server.completions == []


async def test_only_living_running_pods_with_an_address_are_asked(probe: ModelProbe) -> None:
    pods = [pod("a", ip=""), pod("b", started=None), pod("c", deleting=True), pod("d")]
    assert set(await probe.answers(pods)) == {"d"}


async def test_old_proofs_are_forgotten(probe: ModelProbe, clock: Clock) -> None:
    await probe.answers([pod("a"), pod("b")])
    clock.now += PROOF_LASTS_SECONDS + 1
    await probe.answers([pod("b")])
    assert set(probe._proven_at) == {("uid-b", 0)}


def test_readiness_may_stand_in_for_the_question() -> None:
    ready = {"Ready": ObservedCondition(type="Ready", status="True")}
    answers = by_readiness([pod("a", conditions=ready), pod("b"), pod("c", started=None)])
    assert answers["a"] == ModelAnswer(ready=True, phase="ready", token_generated=True)
    assert answers["b"] == ModelAnswer(phase="starting")
    assert set(answers) == {"a", "b"}
