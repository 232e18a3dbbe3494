"""A client that left costs nothing: its generation stops and its blocks are free."""

import asyncio
import itertools
import json
import socket
from asyncio import StreamReader, StreamWriter

import pytest
from model_server.engine.engine_state import EngineLimits
from model_server.web.connection import Deadlines, GuardedConnection
from model_server.web.uvicorn_config import Wire

from tests.model_server.fake_runner import FakeRunner, Gate
from tests.model_server.http_server import Edges, Running, counting, serving, until

LONG = 4000

GATED_STEP = 10


def long_runner() -> FakeRunner:
    return FakeRunner(max_model_len=LONG, block_count=4 * LONG, vocabulary_size=100_000)


def request(**fields: object) -> bytes:
    content = [{"role": "user", "content": "abc"}]
    body = json.dumps({"messages": content, "temperature": 0, **fields}).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )


async def ask(running: Running, **fields: object) -> tuple[StreamReader, StreamWriter]:
    """Send a request for a long answer over a bare socket, which can be cut at any time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(request(**fields))
    return reader, writer


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_stops_its_generation(*, stream: bool) -> None:
    runner, gate, steps = long_runner(), Gate(), itertools.count()
    runner.on_step = lambda batch: gate(batch) if next(steps) == GATED_STEP else None
    async with serving(counting(runner)) as running:
        reader, writer = await ask(running, stream=stream)
        await until(gate.reached.is_set)
        if stream:
            assert b" 200 " in await reader.readline()
        writer.transport.abort()
        await until(lambda: running.service.open_answers == 0)
        gate.open()
        await running.until_free()
        assert running.engine.statistics().tokens_generated <= GATED_STEP + 1
        assert 'finished_reason="abort"' in running.service.metrics.exposition().decode()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_the_queue_is_never_run(*, stream: bool) -> None:
    runner = long_runner()
    limits = EngineLimits(max_sequences=1, max_queued=4)
    async with serving(counting(runner, limits)) as running:
        gate = Gate()
        runner.on_step = gate
        _, first = await ask(running)
        await until(gate.reached.is_set)
        _, second = await ask(running, stream=stream, max_tokens=7)
        await until(lambda: running.service.open_answers == 2)
        second.transport.abort()
        await until(lambda: running.service.open_answers == 1)
        before = len(runner.batches)
        gate.open()
        first.transport.abort()
        await running.until_free()
        ran = {item.request_id for batch in runner.batches[before:] for item in batch.items}
        assert len(ran) <= 1


async def test_two_hundred_leavers_leave_nothing_behind() -> None:
    async with serving(counting(long_runner(), EngineLimits(max_sequences=32))) as running:
        for _ in range(10):
            asked = await asyncio.gather(*(ask(running, stream=True) for _ in range(20)))
            await until(lambda: running.service.open_answers > 0)
            for _, writer in asked:
                writer.transport.abort()
        await until(lambda: running.service.open_answers == 0)
        await running.until_free()
        assert (await running.chat(max_tokens=2)).status_code == 200


class Impatient(GuardedConnection):
    deadlines = Deadlines(headers=0.2, body=0.2, reading=0.2)


IMPATIENT = Edges(wire=Wire(protocol=Impatient))


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /health HT",
        b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n",
        (
            b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        ),
    ],
)
async def test_a_half_request_is_cut_off_and_others_are_served(sent: bytes) -> None:
    async with serving(edges=IMPATIENT) as running:
        sockets = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(50)]
        for _, writer in sockets:
            writer.write(sent)
        assert (await running.client.get("/health")).status_code == 200
        for reader, writer in sockets:
            assert await cut_off(reader)
            writer.close()
        assert (await running.chat(max_tokens=1)).status_code == 200


async def test_headers_that_trickle_in_do_not_win_time() -> None:
    async with serving(edges=IMPATIENT) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        cut = asyncio.create_task(cut_off(reader))
        async with asyncio.timeout(10):
            while not cut.done():
                writer.write(b"G")
                await asyncio.sleep(0.02)
        assert await cut
        writer.close()


async def test_a_client_that_does_not_read_is_cut_off_and_its_generation_stops() -> None:
    runner = FakeRunner(max_model_len=60_000, block_count=60_000, vocabulary_size=100_000)
    async with serving(counting(runner), edges=IMPATIENT) as running:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", running.port))
            deaf.sendall(request(stream=True, max_tokens=50_000))
            await until(lambda: running.service.open_answers == 1)
            await until(lambda: running.service.open_answers == 0, seconds=40)
            assert running.engine.statistics().tokens_generated < 49_000
            await running.until_free()


async def test_a_kept_connection_may_rest_between_requests() -> None:
    async with serving(edges=IMPATIENT) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        for _ in range(2):
            writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in await reader.readline()
            assert b"ok" in await reader.readuntil(b"}")
            await asyncio.sleep(3 * Impatient.deadlines.headers)  # the time itself is under test
        writer.close()


async def cut_off(reader: StreamReader) -> bool:
    async with asyncio.timeout(10):
        try:
            return await reader.read() == b""
        except ConnectionError:
            return True
