"""What a watch brings back of our own writes stays out of kopf; everything else goes through."""

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import kopf
import pytest
from aiohttp import web
from workspace_operator.echoes import Echoes
from workspace_operator.wake import Key, Wake
from workspace_operator.watch_session import Sieve, quiet_session

from tests.cluster.ports import free_ports

MISTRAL = Key("team", "mistral")


def built_in(uid: str, version: str, kind: str = "Deployment") -> dict[str, Any]:
    """Name the uid first, as the API server does for its own kinds."""
    metadata = {"name": "mistral", "namespace": "team", "uid": uid, "resourceVersion": version}
    return {"kind": kind, "metadata": metadata, "spec": {}}


def custom(uid: str, version: str, generation: int = 1, kind: str = "Workspace") -> dict[str, Any]:
    """Sort the keys, as the API server does for custom kinds."""
    metadata = {
        "generation": generation,
        "name": "mistral",
        "namespace": "team",
        "ownerReferences": [{"uid": "another"}],
        "resourceVersion": version,
        "uid": uid,
    }
    return {"kind": kind, "metadata": metadata}


def line(change: str, body: object) -> bytes:
    return json.dumps({"type": change, "object": body}, separators=(",", ":")).encode()


def wake_that_wrote(*bodies: dict[str, Any]) -> Wake:
    wake = Wake(lambda _key: None, echoes=Echoes())
    wake.workspace_changed(custom("w", "1"), deleted=False)
    for body in bodies:
        wake.echoes.wrote(body)
    return wake


class Content:
    """Come in pieces, as a connection does."""

    total_bytes = 7

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks = chunks

    async def iter_chunked(self, _size: int) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


async def through(wake: Wake, chunks: Iterable[bytes]) -> list[bytes]:
    sieve = Sieve(Content(chunks), wake)  # type: ignore[arg-type]  # all that it asks of a body
    assert sieve.total_bytes == 7, "it answers for the body"
    return b"".join([each async for each in sieve.iter_chunked(1 << 20)]).splitlines()


@pytest.mark.parametrize("change", ["ADDED", "MODIFIED"])
@pytest.mark.parametrize("body", [built_in("d", "7"), custom("w", "7")])
async def test_our_own_write_is_left_out(change: str, body: dict[str, Any]) -> None:
    others = line("ADDED", built_in("another", "8"))
    sent = [line(change, body) + b"\n" + others + b"\n"]
    assert await through(wake_that_wrote(body), sent) == [others]


@pytest.mark.parametrize(
    ("change", "body"),
    [
        ("MODIFIED", built_in("d", "8")),  # a later version
        ("MODIFIED", built_in("another", "7")),
        ("DELETED", built_in("d", "7")),
        ("BOOKMARK", {"kind": "Deployment", "metadata": {"resourceVersion": "7"}}),
        ("ERROR", {"kind": "Status", "code": 410}),
        ("MODIFIED", custom("w", "7", generation=2)),  # its author has changed it, unheard
        ("ADDED", custom("c", "7", kind="NodeClaim")),  # Events speak of it
        ("ADDED", {"kind": "Deployment", "spec": built_in("d", "7")}),  # not its own version
    ],
)
async def test_whatever_else_comes_goes_through(change: str, body: dict[str, Any]) -> None:
    wake = wake_that_wrote(built_in("d", "7"), custom("w", "7"), custom("c", "7"))
    assert await through(wake, [line(change, body) + b"\n"]) == [line(change, body)]


async def test_lines_may_come_in_pieces_and_end_without_an_end() -> None:
    ours, news = line("ADDED", built_in("d", "7")), line("ADDED", built_in("e", "8"))
    sent = ours + b"\n" + news + b"\n" + ours + b"\n" + news
    pieces = [sent[at : at + 11] for at in range(0, len(sent), 11)]
    assert await through(wake_that_wrote(built_in("d", "7")), pieces) == [news, news]


async def test_a_list_goes_through_as_it_came() -> None:
    ours = built_in("d", "7")
    port = free_ports(1)[0]

    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer secret"
        if "watch" in request.query:
            return web.Response(body=line("ADDED", ours) + b"\n" + line("DELETED", ours) + b"\n")
        return web.json_response({"items": [ours]})

    application = web.Application()
    application.router.add_get("/", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    info = kopf.ConnectionInfo(
        server=f"http://127.0.0.1:{port}",
        scheme="Bearer",
        token="secret",  # noqa: S106 - a test's
    )
    found = quiet_session(info, wake_that_wrote(ours))
    assert found.server == info.server
    try:
        async with found.aiohttp_session.get(f"{info.server}/?limit=50") as listed:
            assert await listed.json() == {"items": [ours]}
        async with found.aiohttp_session.get(f"{info.server}/?watch=true") as watched:
            seen = [each async for each in watched.content.iter_chunked(1 << 20)]
        assert b"".join(seen) == line("DELETED", ours) + b"\n"
    finally:
        await found.aiohttp_session.close()
        await runner.cleanup()
