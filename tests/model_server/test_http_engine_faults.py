"""A step, the engine's thread or the device fails: who is told, who is not, and how it ends."""

import asyncio
import threading

import pytest
from model_server.engine.batch import Batch, OutOfMemory, RunnerLost

from tests.model_server.fake_runner import FakeRunner
from tests.model_server.http_server import counting, serving, status, until

# The thread's own machinery lets SystemExit pass in silence; pytest does not.
ENDS_WITHOUT_A_WORD = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)


async def test_a_step_that_fails_fails_its_requests_and_no_others() -> None:
    def fail_for_x(batch: Batch) -> None:
        if any(ord("x") in item.token_ids for item in batch.items):
            raise ValueError("bad luck with a secret prompt")

    runner = FakeRunner(max_model_len=128)
    async with serving(counting(runner)) as running:
        runner.on_step = fail_for_x
        failed = await running.chat("x", max_tokens=3)
        assert failed.status_code == 500
        assert failed.json()["error"]["code"] == "generation_failed"
        assert "secret" not in failed.text
        assert (await running.chat("abc", max_tokens=3)).status_code == 200
        assert await status(running, "/health") == 200


async def test_a_failure_within_a_stream_ends_it_without_done() -> None:
    begun = threading.Event()

    def fail_at_g(batch: Batch) -> None:
        if any(item.token_ids[-1] == ord("g") for item in batch.items):
            assert begun.wait(10)
            raise ValueError("bad luck")

    runner = FakeRunner(max_model_len=128)
    async with serving(counting(runner)) as running:
        runner.on_step = fail_at_g
        body = {"messages": [{"role": "user", "content": "abc"}], "temperature": 0, "stream": True}
        text = ""
        async with running.client.stream("POST", "/v1/chat/completions", json=body) as response:
            assert response.status_code == 200
            async for piece in response.aiter_text():
                text += piece
                begun.set()
        *_, last = text.strip().split("\n\n")
        assert '"code":"generation_failed"' in last
        assert "[DONE]" not in text


async def test_a_device_that_is_lost_fails_what_is_open_and_ends_with_71() -> None:
    def lose(_batch: Batch) -> None:
        raise RunnerLost("CUDA error: an illegal memory access was encountered")

    runner = FakeRunner(max_model_len=128)
    async with serving(counting(runner)) as running:
        runner.on_step = lose
        failed = await running.chat("abc")
        assert failed.status_code in (500, 503)
        assert await asyncio.wait_for(running.ended, 10) == 71
        assert "device failed" in str(running.server.failure)


async def test_a_device_that_is_lost_on_the_first_token_ends_with_71() -> None:
    def lose(_batch: Batch) -> None:
        raise RunnerLost("CUDA error: no kernel image is available")

    runner = FakeRunner(max_model_len=128)
    runner.on_step = lose
    async with serving(counting(runner), wait=False) as running:
        assert await asyncio.wait_for(running.ended, 10) == 71


async def test_memory_that_runs_out_fails_one_request_and_thrice_a_minute_readiness() -> None:
    def run_out(batch: Batch) -> None:
        if any(item.history.tokens[1] == ord("z") for item in batch.items):
            raise OutOfMemory("out of memory: tried to allocate 2 GiB")

    runner = FakeRunner(max_model_len=128)
    async with serving(counting(runner)) as running:
        runner.on_step = run_out
        answers = await asyncio.gather(
            running.chat("abc", max_tokens=30), running.chat("z" * 20), running.chat("abd")
        )
        assert [answer.status_code for answer in answers] == [200, 500, 200]
        assert running.service.lifecycle.now().is_ready
        for _ in range(2):
            assert (await running.chat("zz")).status_code == 500
        await until(lambda: not running.service.lifecycle.now().is_ready)
        assert (await running.chat("abc")).status_code == 503
        assert (await running.client.get("/health")).status_code == 200
        running.engine._out_of_memory_at.popleft()  # as a minute later
        await running.until_ready()
        assert (await running.chat("abc")).status_code == 200


async def test_an_engine_that_dies_fails_what_is_open_and_ends_with_70() -> None:
    def break_down() -> None:
        raise KeyError("a fault in the scheduling")

    runner = FakeRunner(max_model_len=128)
    async with serving(counting(runner)) as running:
        running.engine._scheduler.schedule = break_down  # type: ignore[method-assign] # a fault of ours
        failed = await running.chat("abc")
        assert failed.status_code in (500, 503)
        assert await asyncio.wait_for(running.ended, 10) == 70
        assert "died" in str(running.server.failure)


@ENDS_WITHOUT_A_WORD
async def test_a_thread_that_ends_without_a_word_keeps_no_request_open() -> None:
    """The open answer is told at once, so that nothing waits for a drain."""
    begun = threading.Event()

    def leave(_batch: Batch) -> None:
        assert begun.wait(10)
        raise SystemExit

    runner = FakeRunner(max_model_len=128)
    async with serving(counting(runner)) as running:
        runner.on_step = leave
        asked = asyncio.create_task(running.chat("abc"))
        await until(lambda: running.service.open_answers == 1)
        begun.set()
        assert (await asked).status_code in (500, 503)
        assert await asyncio.wait_for(running.ended, 10) == 70


async def test_an_engine_that_is_silent_is_not_ready_then_ends_with_70() -> None:
    runner = FakeRunner(max_model_len=128)
    async with serving(counting(runner)) as running:
        age = 0.0
        engine = running.engine
        engine.heartbeat_age_seconds = lambda: age  # type: ignore[method-assign] # no test waits 60 s
        age = 31.0
        await until(lambda: not running.service.lifecycle.now().is_ready)
        document = (await running.client.get("/ready")).json()
        assert "silent for 31 s" in document["error"]
        assert (await running.chat("abc")).status_code == 503
        age = 0.1
        await running.until_ready()
        age = 61.0
        assert await asyncio.wait_for(running.ended, 10) == 70
