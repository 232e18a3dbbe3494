"""Whatever arrives on the wire, also no HTTP at all, is answered in one form."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.model_server.http_server import (
    CHAT,
    COMPLETION,
    USER,
    Running,
    check_error,
    serving,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running() -> AsyncIterator[Running]:
    async with serving() as server:
        yield server


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/", 405),
        ("GET", "/docs", 404),
        ("GET", "//metrics", 404),
        ("GET", "/v1/../metrics", 404),
        ("GET", "/v1/%2e%2e/metrics", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/health%00", 404),
        ("GET", CHAT, 405),
        ("PUT", COMPLETION, 405),
        ("POST", "/ready", 405),
        ("BREW", CHAT, 405),
    ],
)
async def test_a_strange_path_is_never_another_route(
    running: Running, method: str, path: str, status: int
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode()
    assert json.loads(body)["error"]["message"]


async def test_a_large_body_is_refused_before_it_is_read(running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: 50000000\r\n\r\n".encode())  # and not one byte of it
    assert b" 413 " in await reader.readline()
    writer.close()


async def test_a_large_body_of_unstated_length_is_refused_too(running: Running) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 100_000

    headers = {"content-type": "application/json"}
    response = await running.client.post(CHAT, content=body(), headers=headers)
    assert check_error(response, 413)["code"] == "request_too_large"
    assert (await running.chat(max_tokens=1)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json", "content-encoding": "gzip"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "text/plain"},
        {},
    ],
)
async def test_another_media_type_or_encoding_is_refused(
    running: Running, headers: dict[str, str]
) -> None:
    body = json.dumps({"messages": USER}).encode()
    if "content-encoding" in headers:
        body = gzip.compress(body)
    check_error(await running.client.post(CHAT, content=body, headers=headers), 415)


async def test_too_many_or_too_large_headers_are_refused(running: Running) -> None:
    many = {f"x-{i}": "1" for i in range(150)}
    check_error(await running.client.get("/health", headers=many), 431)
    large = await running.client.get("/health", headers={"x-large": "1" * 20_000})
    assert large.status_code in (400, 431)
    assert large.json()["error"]["message"]
    assert (await running.client.get("/health")).status_code == 200


async def test_what_is_not_http_gets_an_error_in_the_same_form(running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert b" 400 " in head
    assert json.loads(body)["error"]["code"] == "invalid_http"


async def test_a_request_id_is_honoured_where_it_is_harmless(running: Running) -> None:
    for sent, kept in (("abc-1.2_3:4", True), ("a b", False), ("x" * 129, False), ("é", False)):
        headers = [(b"x-request-id", sent.encode())]
        response = await running.client.get("/health", headers=headers)
        assert (response.headers["x-request-id"] == sent) is kept
        assert len(response.headers["x-request-id"]) >= 11
