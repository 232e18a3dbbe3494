"""From the open port to the exit code: what a client and a kubelet see on the way."""

import asyncio
import threading
from dataclasses import replace

import httpx
import pytest
from model_server.api.lifecycle import Lifecycle, Phase
from model_server.engine.batch import Batch
from model_server.engine.engine_state import EngineLimits
from model_server.settings import BadStart

from tests.model_server.fake_runner import FakeRunner, Gate
from tests.model_server.http_server import CodePoints, counting, serving, status, until


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


class Encoding(CodePoints):
    """Encode when the test says so."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def encode_text(self, text: str, *, limit: int) -> list[int]:
        self.begun.set()
        await self.go_on.wait()
        return await super().encode_text(text, limit=limit)


async def test_a_drain_waits_for_a_prompt_that_is_being_encoded() -> None:
    tokenizer = Encoding()
    load = counting()
    async with serving(
        lambda lifecycle: replace(load(lifecycle), tokenizer=tokenizer), drain_seconds=30
    ) as running:
        tokenizer.begun.clear()
        tokenizer.go_on.clear()
        asked = asyncio.create_task(running.chat("abc", max_tokens=3))
        await tokenizer.begun.wait()
        running.server.drain()
        await until(lambda: running.service.lifecycle.now().phase is Phase.DRAINING)
        assert await status(running, "/health") == 200
        tokenizer.go_on.set()
        answer = await asked
        assert answer.json()["choices"][0]["message"]["content"] == "def"
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
