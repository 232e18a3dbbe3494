"""From the open port to the exit code: what a client and a kubelet see on the way."""

import asyncio
import threading

import httpx
import pytest
from model_server.batch import Batch, OutOfMemory, RunnerLost
from model_server.engine_state import EngineLimits
from model_server.lifecycle import Lifecycle, Phase
from model_server.settings import BadStart

from tests.model_server.fake_runner import FakeRunner, Gate
from tests.model_server.http_server import Running, counting, serving, until


async def status(running: Running, path: str) -> int:
    return (await running.client.get(path)).status_code


class SlowLoad:
    """Load half of the weights, then wait for the test."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self._error = error

    def __call__(self, lifecycle: Lifecycle) -> None:
        lifecycle.enter(Phase.LOADING)
        lifecycle.loaded(500, 1000)
        self.begun.set()
        assert self.go_on.wait(10)
        if self._error:
            raise self._error


async def test_while_the_model_loads_the_port_is_open_and_says_how_far_it_is() -> None:
    load = SlowLoad()
    async with serving(counting(before_load=load), wait=False) as running:
        await until(load.begun.is_set)
        assert await status(running, "/health") == 200
        ready = await running.client.get("/ready")
        assert ready.status_code == 503
        document = ready.json()
        assert document["seconds"].keys() == {"import"}
        del document["seconds"]
        assert document == {
            "ready": False,
            "phase": "loading",
            "model": {"name": "tiny", "revision": "0" * 40, "digest": None},
            "progress": {"bytes_loaded": 500, "bytes_total": 1000},
            "error": None,
        }
        for path in ("/v1/chat/completions", "/v1/completions"):
            refused = await running.client.post(path, json={})
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.json()["error"]["code"] == "model_loading"
            assert "50% of 1,000 bytes" in refused.json()["error"]["message"]
        assert await status(running, "/v1/models") == 503
        assert "model_server_loaded_bytes" in (await running.client.get("/metrics")).text
        load.go_on.set()
        await running.until_ready()
        assert await status(running, "/ready") == 200


async def test_ready_comes_after_a_token_was_generated() -> None:
    runner = FakeRunner(max_model_len=128)
    gate = Gate()
    runner.on_step = gate
    async with serving(counting(runner), wait=False) as running:
        await until(gate.reached.is_set)
        document = (await running.client.get("/ready")).json()
        assert (document["ready"], document["phase"]) == (False, "warming")
        assert document["seconds"].keys() == {"import", "load"}
        gate.open()
        await running.until_ready()
        document = (await running.client.get("/ready")).json()
        assert (document["ready"], document["phase"]) == (True, "ready")
        assert document["seconds"].keys() == {"import", "load", "first_token"}
        assert running.engine.statistics().tokens_generated == 1


async def test_a_bad_start_ends_with_1_and_one_sentence() -> None:
    load = SlowLoad(BadStart("/models/weights/config.json is missing"))
    load.go_on.set()
    async with serving(counting(before_load=load), wait=False) as running:
        assert await asyncio.wait_for(running.ended, 10) == 1
        assert running.server.failure == "/models/weights/config.json is missing"


async def test_a_loader_with_a_fault_ends_with_1_too() -> None:
    load = SlowLoad(RuntimeError("boom"))
    load.go_on.set()
    async with serving(counting(before_load=load), wait=False) as running:
        assert await asyncio.wait_for(running.ended, 10) == 1
        assert running.server.failure == "RuntimeError: boom"


async def test_a_model_that_generates_nothing_is_a_bad_start() -> None:
    def fail(_batch: Batch) -> None:
        raise ValueError("no such kernel")

    runner = FakeRunner(max_model_len=128)
    runner.on_step = fail
    async with serving(counting(runner), wait=False) as running:
        assert await asyncio.wait_for(running.ended, 10) == 1
        assert "no such kernel" in str(running.server.failure)


async def test_sigterm_while_loading_ends_at_once_with_0() -> None:
    load = SlowLoad()
    async with serving(counting(before_load=load), wait=False, drain_seconds=60) as running:
        await until(load.begun.is_set)
        running.server.drain()
        assert await asyncio.wait_for(running.ended, 5) == 0
        load.go_on.set()


async def test_a_drain_finishes_open_answers_and_takes_no_new_ones() -> None:
    runner = FakeRunner(max_model_len=128)
    async with serving(counting(runner), drain_seconds=30) as running:
        gate = Gate()
        runner.on_step = gate
        body = {"messages": [{"role": "user", "content": "abc"}], "temperature": 0}
        open_answers = [
            asyncio.create_task(running.chat("abc", max_tokens=6)),
            asyncio.create_task(
                running.client.post(
                    "/v1/chat/completions", json={**body, "max_tokens": 6, "stream": True}
                )
            ),
        ]
        await until(lambda: running.service.open_answers == 2)
        running.server.drain()
        ready = await running.client.get("/ready")
        assert (ready.status_code, ready.json()["phase"]) == (503, "draining")
        assert await status(running, "/health") == 200
        refused = await running.chat("abc")
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "stopping"
        assert not running.ended.done()
        gate.open()
        whole, streamed = await asyncio.gather(*open_answers)
        assert whole.json()["choices"][0]["message"]["content"] == "defghi"
        assert streamed.text.endswith("data: [DONE]\n\n")
        assert await asyncio.wait_for(running.ended, 10) == 0


async def test_a_drain_that_takes_too_long_breaks_answers_off_visibly() -> None:
    runner = FakeRunner(max_model_len=50_000, block_count=50_000, vocabulary_size=100_000)
    async with serving(counting(runner), drain_seconds=0.2) as running:
        body = {"messages": [{"role": "user", "content": "abc"}], "temperature": 0, "stream": True}
        text = ""
        async with running.client.stream("POST", "/v1/chat/completions", json=body) as response:
            async for piece in response.aiter_text():
                if not text:
                    running.server.drain()
                text += piece
        assert '"code":"stopping"' in text
        assert "[DONE]" not in text
        assert await asyncio.wait_for(running.ended, 10) == 0


async def test_a_full_queue_sends_callers_away_and_probes_go_on() -> None:
    runner = FakeRunner(max_model_len=128)
    async with serving(counting(runner, EngineLimits(max_sequences=1, max_queued=1))) as running:
        gate = Gate()
        runner.on_step = gate
        held = [asyncio.create_task(running.chat("abc", max_tokens=2)) for _ in range(2)]
        await until(lambda: running.service.open_answers == 2)
        refused = await running.chat("abc", max_tokens=2)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert await status(running, "/ready") == 200
        gate.open()
        assert [answer.status_code for answer in await asyncio.gather(*held)] == [200, 200]


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


async def test_metrics_count_what_was_done() -> None:
    async with serving() as running:
        await running.chat("abc", max_tokens=4)
        await running.chat("abc", max_tokens=40, stop="f")
        await running.client.get("/nowhere")
        text = (await running.client.get("/metrics")).text
        for line in (
            'vllm:prompt_tokens_total{model_name="tiny"} 8.0',
            'vllm:request_success_total{finished_reason="length",model_name="tiny"} 1.0',
            'vllm:request_success_total{finished_reason="stop",model_name="tiny"} 1.0',
            'vllm:num_requests_running{model_name="tiny"} 0.0',
            'vllm:kv_cache_usage_perc{model_name="tiny"} 0.0',
            'vllm:time_to_first_token_seconds_count{model_name="tiny"} 2.0',
            'model_server_ready{model_name="tiny"} 1.0',
            'http_requests_total{method="GET",path="other",status="404"} 1.0',
            'http_requests_total{method="POST",path="/v1/chat/completions",status="200"} 2.0',
        ):
            assert line in text, line
        assert 'model_server_startup_seconds{phase="first_token"}' in text
        assert "process_resident_memory_bytes" in text


async def test_a_fault_of_our_own_is_a_plain_500(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as running:

        def broken() -> httpx.Response:
            raise RuntimeError("inside")

        running.service.metrics.exposition = broken  # type: ignore[assignment,method-assign]
        response = await running.client.get("/metrics")
        assert response.status_code == 500
        assert response.json()["error"]["code"] == "internal_error"
        assert "inside" not in response.text
        assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == [
            "request_failed"
        ]
