"""A write that has waited goes out only while its sender may still write."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from workspace_operator.cluster import ApiServer, Connection, Manifest, Unreachable
from workspace_operator.cluster.kinds import NODE_CLAIM

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
CLAIM: Manifest = {
    "apiVersion": NODE_CLAIM.api_version,
    "kind": NODE_CLAIM.kind,
    "metadata": {"name": "machine"},
}


class NotOurs(Exception):
    """The Lease has passed."""


@dataclass
class Permit:
    """Say whether this process may write: while it is open, and as often as is `left`."""

    open: bool = True
    left: int | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self) -> None:
        self.asked.set()
        if self.left is not None:
            self.left -= 1
        if not self.open or (self.left is not None and self.left < 0):
            raise NotOurs


@dataclass
class Server:
    """An API server that answers as a test wants, and remembers what reached it."""

    answer: Answer | None = None
    seen: list[str] = field(default_factory=list)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request.method)
        if self.answer is not None:
            return await self.answer(request)
        return web.json_response({})

    @property
    def writes(self) -> list[str]:
        return [method for method in self.seen if method != "GET"]


@pytest.fixture
def permit() -> Permit:
    return Permit()


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def cluster(
    server: Server, permit: Permit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ApiServer]:
    """Give a cluster that is reached over one single connection."""
    monkeypatch.setattr("workspace_operator.cluster.connection.MAX_CONNECTIONS", 1)
    monkeypatch.setattr("workspace_operator.cluster.connection.FIRST_PAUSE_SECONDS", 0.0)
    runner = web.ServerRunner(web.Server(server))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig(f"http://{host}:{port}")))
    connection = Connection(str(path), on_answer=lambda: None)
    await connection.open()
    yield ApiServer(connection, guard=permit, count_write=lambda _verb, _kind: None)
    await connection.close()
    await runner.cleanup()


def kubeconfig(url: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "only",
        "clusters": [{"name": "only", "cluster": {"server": url}}],
        "users": [{"name": "only", "user": {"token": "of-a-test"}}],
        "contexts": [{"name": "only", "context": {"cluster": "only", "user": "only"}}],
    }


async def test_a_write_that_waits_for_a_free_connection_is_not_sent_when_the_lease_has_passed(
    cluster: ApiServer, server: Server, permit: Permit
) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(_request: web.BaseRequest) -> web.StreamResponse:
        arrived.set()
        await go_on.wait()
        return web.json_response({})

    server.answer = slowly
    read = asyncio.create_task(cluster.find(NODE_CLAIM, "machine"))
    await arrived.wait()
    write = asyncio.create_task(cluster.create(CLAIM))
    await permit.asked.wait()  # it was allowed to go, and the only connection is taken
    permit.open = False
    go_on.set()
    await read
    with pytest.raises(NotOurs):
        await write
    assert server.seen == ["GET"]


async def test_a_write_that_waits_for_new_credentials_is_not_sent_again_then(
    cluster: ApiServer, server: Server, permit: Permit
) -> None:
    async def refused(_request: web.BaseRequest) -> web.StreamResponse:
        permit.open = False
        return web.json_response({"message": "Unauthorized"}, status=401)

    server.answer = refused
    with pytest.raises(NotOurs):
        await cluster.create(CLAIM)
    assert server.writes == ["POST"]


@pytest.mark.parametrize("may_repeat", [True, False])
async def test_a_write_under_which_a_connection_was_closed_is_not_repeated_then(
    cluster: ApiServer, server: Server, permit: Permit, *, may_repeat: bool
) -> None:
    async def hang_up(request: web.BaseRequest) -> web.StreamResponse:
        server.answer = None
        permit.open = may_repeat
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    await cluster.find(NODE_CLAIM, "machine")  # now there is a connection that may go stale
    server.answer = hang_up
    deletion = cluster.delete(NODE_CLAIM, "machine", None, "its-uid")
    if may_repeat:
        await deletion
    else:
        with pytest.raises(NotOurs):
            await deletion
    assert server.writes == ["DELETE"] * (2 if may_repeat else 1)


async def test_the_last_question_comes_when_nothing_but_the_bytes_is_left(
    cluster: ApiServer, server: Server, permit: Permit
) -> None:
    permit.left = 2  # before it waits, and before its headers: both pass
    with pytest.raises(Unreachable, match="NotOurs"):
        await cluster.create(CLAIM)
    assert server.seen == []


async def test_reads_and_dry_runs_need_no_lease(
    cluster: ApiServer, server: Server, permit: Permit
) -> None:
    await cluster.create(CLAIM)
    permit.open = False
    await cluster.find(NODE_CLAIM, "machine")
    await cluster.try_apply(CLAIM)
    assert server.seen == ["POST", "GET", "PATCH"]
