"""Who may ask: keys, TLS, browsers, and the port that only probes use."""

import asyncio
import ssl
import subprocess
import threading
from pathlib import Path

import httpx
import pytest
from model_server.settings import BadStart
from model_server.web.api_keys import ApiKeys
from model_server.web.tls import Certificate
from model_server.web.uvicorn_config import Wire

from tests.model_server.http_server import CHAT, USER, Edges, check_error, listen, serving, until

KEY = "canary-key-5e1f"
PATHS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/models",
    "/v1/models/tiny",
    "/tokenize",
    "/detokenize",
    "/version",
    "/openapi.json",
    "/chat",
    "/",
    "/metrics",
    "/nowhere",
    "//health",
    "/health/",
)


@pytest.fixture
def keys(tmp_path: Path) -> ApiKeys:
    file = tmp_path / "keys"
    file.write_text(f"another\n{KEY}\n", encoding="utf-8")
    return ApiKeys(file)


async def test_every_path_but_health_and_ready_needs_a_key(
    keys: ApiKeys, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with serving(edges=Edges(keys=keys)) as running:
        for path in PATHS:
            for shown in (None, "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY.upper()}", KEY):
                headers = {"authorization": shown} if shown else {}
                for method in ("GET", "POST"):
                    refused = await running.client.request(method, path, headers=headers)
                    assert check_error(refused, 401)["code"] == "invalid_api_key"
                    assert refused.headers["www-authenticate"] == "Bearer"
                    assert KEY not in refused.text
        for path in ("/health", "/ready"):
            assert (await running.client.get(path)).status_code == 200
        running.client.headers["authorization"] = f"Bearer {KEY}"
        assert (await running.chat(max_tokens=1)).status_code == 200
        assert (await running.client.get("/metrics")).status_code == 200
        assert (await running.client.get("/nowhere")).status_code == 404
    assert KEY not in "".join(str(vars(record)) for record in caplog.records)


async def test_two_authorization_headers_are_none(keys: ApiKeys) -> None:
    async with serving(edges=Edges(keys=keys)) as running:
        both = [("authorization", f"Bearer {KEY}"), ("authorization", "Bearer x")]
        check_error(await running.client.get("/v1/models", headers=both), 401)


async def test_a_browser_may_ask_only_where_its_page_is_named(keys: ApiKeys) -> None:
    page = {"origin": "https://a.example", "access-control-request-method": "POST"}
    page["access-control-request-headers"] = "authorization"
    async with serving() as running:
        assert (await running.client.options(CHAT, headers=page)).status_code == 405
    async with serving(edges=Edges(keys=keys, cors_origins=["https://a.example"])) as running:
        asked = await running.client.options(CHAT, headers=page)
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == "https://a.example"
        other = await running.client.options(CHAT, headers={**page, "origin": "https://b.example"})
        assert "access-control-allow-origin" not in other.headers
        headers = {"authorization": f"Bearer {KEY}", "origin": "https://a.example"}
        answer = await running.client.post(
            CHAT, json={"messages": USER, "max_tokens": 1}, headers=headers
        )
        assert answer.headers["access-control-allow-origin"] == "https://a.example"


def make_certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate that signs itself, as a file of its own and a key."""
    certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
    line = (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-subj /CN={name} -addext subjectAltName=IP:127.0.0.1 -out {certificate} -keyout {key}"
    )
    subprocess.run(line.split(), check=True, capture_output=True)  # noqa: S603 - fixed arguments
    return certificate, key


async def test_a_renewed_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    first, second = (make_certificate(tmp_path, name) for name in ("first", "second"))
    live = (tmp_path / "tls.crt", tmp_path / "tls.key")
    for source, target in zip(first, live, strict=True):
        target.write_bytes(source.read_bytes())
    certificate = Certificate(*live)
    trusts_first = ssl.create_default_context(cafile=first[0])
    trusts_second = ssl.create_default_context(cafile=second[0])
    edges = Edges(wire=Wire(certificate=certificate), verify=trusts_first)
    async with serving(edges=edges) as running:
        assert (await running.chat(max_tokens=1)).status_code == 200
        live[0].write_bytes(second[0].read_bytes())  # half-way: does not fit the old key
        assert not certificate.renew()
        async with httpx.AsyncClient(verify=trusts_first, trust_env=False) as other:
            assert (await other.get(f"{running.url}/health")).status_code == 200
        live[1].write_bytes(second[1].read_bytes())
        assert certificate.renew()
        assert not certificate.renew()
        async with httpx.AsyncClient(verify=trusts_second, trust_env=False) as other:
            assert (await other.get(f"{running.url}/health")).status_code == 200
        assert (await running.chat(max_tokens=1)).status_code == 200  # the old connection stands


async def test_plain_http_to_a_tls_port_harms_nobody(tmp_path: Path) -> None:
    pair = make_certificate(tmp_path, "one")
    trusts = ssl.create_default_context(cafile=pair[0])
    edges = Edges(wire=Wire(certificate=Certificate(*pair)), verify=trusts)
    async with serving(edges=edges) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in await reader.read()
        writer.close()
        assert (await running.client.get("/health")).status_code == 200


def test_a_certificate_that_cannot_be_used_is_a_bad_start(tmp_path: Path) -> None:
    first, second = (make_certificate(tmp_path, name) for name in ("first", "second"))
    for pair in ((tmp_path / "none", None), (first[0], second[1]), (first[1], first[1])):
        with pytest.raises(BadStart, match="--tls-certificate"):
            Certificate(*pair)


async def test_the_probe_port_answers_while_the_main_loop_is_busy() -> None:
    busy, go_on = threading.Event(), threading.Event()

    def hold_the_loop() -> None:
        busy.set()
        assert go_on.wait(20)

    listener = listen()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def ask(path: str) -> httpx.Response:
        assert busy.wait(10)
        return httpx.get(f"{url}{path}", trust_env=False, timeout=10)

    def ask_all() -> list[httpx.Response]:
        try:
            return [ask(path) for path in ("/health", "/ready", "/metrics", "/v1/models")]
        finally:
            go_on.set()

    async with serving(edges=Edges(probes=listener)) as running:
        asking = asyncio.get_running_loop().run_in_executor(None, ask_all)
        hold_the_loop()  # on the loop, which stands still until the probes were answered
        health, ready, metrics, models = await asking
        assert (health.status_code, ready.status_code) == (200, 200)
        assert "vllm:num_requests_waiting" in metrics.text
        assert models.status_code == 404
        for path in ("/health", "/ready", "/metrics"):  # the main port has them too
            assert (await running.client.get(path)).status_code == 200


async def test_health_follows_the_main_loop_and_readiness_the_model() -> None:
    listener = listen()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with serving(edges=Edges(probes=listener)) as running, httpx.AsyncClient() as client:
        now = running.service._clock()
        running.service._clock = lambda: now + 61  # no test waits 60 s
        running.service.loop_is_alive = lambda: None  # type: ignore[method-assign] # it hangs
        assert (await client.get(f"{url}/health")).status_code == 500
        running.service._clock = lambda: now
        assert (await client.get(f"{url}/health")).status_code == 200
        running.server.drain()
        await until(running.ended.done)
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/health")
