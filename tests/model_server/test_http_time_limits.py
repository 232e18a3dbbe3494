"""A request that waits too long, an answer that takes too long, and a drain that nobody reads."""

import asyncio
import json
import socket

import pytest
from model_server.api.service import AnswerLimits
from model_server.engine.batch import Batch
from model_server.engine.engine_state import EngineLimits

from tests.model_server.fake_runner import FakeRunner, Gate
from tests.model_server.http_server import CHAT, USER, check_error, counting, serving, until

SHORT, LONG = 0.2, 60.0


@pytest.mark.parametrize("stream", [True, False])
async def test_a_request_that_waits_too_long_for_its_first_token_gets_503(*, stream: bool) -> None:
    runner, gate = FakeRunner(max_model_len=128), Gate()
    limits = AnswerLimits(first_token_seconds=SHORT, answer_seconds=LONG)
    engine = EngineLimits(max_sequences=1, max_queued=4)
    async with serving(counting(runner, engine), limits=limits) as running:
        runner.on_step = gate
        answers = await asyncio.gather(
            *(running.chat(max_tokens=2, stream=stream) for _ in range(3))
        )
        for answer in answers:
            assert check_error(answer, 503)["code"] == "queue_timeout"
            assert int(answer.headers["retry-after"]) >= 1
        assert (await running.client.get("/health")).status_code == 200
        gate.open()
        await running.until_free()
        assert (await running.chat(max_tokens=1)).status_code == 200


class StepsUntil:
    """Let some steps pass, then hold the engine's thread."""

    def __init__(self, steps: int) -> None:
        self._left = steps
        self._gate = Gate()
        self.open = self._gate.open

    def __call__(self, batch: Batch) -> None:
        self._left -= 1
        if self._left < 0:
            self._gate(batch)


async def test_an_answer_that_takes_too_long_gets_504() -> None:
    runner = FakeRunner(max_model_len=128)
    limits = AnswerLimits(first_token_seconds=LONG, answer_seconds=SHORT)
    async with serving(counting(runner), limits=limits) as running:
        runner.on_step = held = StepsUntil(3)
        answer = await running.chat(max_tokens=20)
        assert check_error(answer, 504)["code"] == "answer_timeout"
        held.open()
        await running.until_free()


async def test_a_stream_that_takes_too_long_ends_with_an_error_and_without_done() -> None:
    runner = FakeRunner(max_model_len=128)
    limits = AnswerLimits(first_token_seconds=LONG, answer_seconds=SHORT)
    async with serving(counting(runner), limits=limits) as running:
        runner.on_step = held = StepsUntil(3)
        answer = await running.chat(max_tokens=20, stream=True)
        assert answer.status_code == 200
        *_, last = [line[6:] for line in answer.text.split("\n\n") if line]
        assert json.loads(last)["error"]["code"] == "answer_timeout"
        assert "[DONE]" not in answer.text
        held.open()
        await running.until_free()
        assert 'finished_reason="error"' in running.service.metrics.exposition().decode()


async def test_a_drain_does_not_wait_for_a_client_that_never_reads(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runner = FakeRunner(max_model_len=60_000, block_count=60_000, vocabulary_size=100_000)
    body = json.dumps({"messages": USER, "temperature": 0, "stream": True}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    async with serving(counting(runner), drain_seconds=0.2) as running:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", running.port))
            deaf.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await until(lambda: _writing_paused(running.server), seconds=40)
            running.server.drain()
            assert await asyncio.wait_for(running.ended, 20) == 0
    assert [r.getMessage() for r in caplog.records if r.exc_info or r.levelname == "ERROR"] == []


def _writing_paused(server: object) -> bool:
    connections = server._uvicorn.server_state.connections  # type: ignore[attr-defined] # its inside
    return any(connection.flow.write_paused for connection in connections)
