import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from model_server.engine.batch import Batch, OutOfMemory, RunnerLost
from model_server.engine.engine import Engine
from model_server.engine.engine_state import EngineLimits
from model_server.engine.request import (
    EngineStopped,
    FinishReason,
    InvalidRequest,
    QueueFull,
    Request,
    RequestTooLong,
    SamplingParameters,
    TokenOutput,
)
from model_server.engine.token_stream import TokenStream

from tests.model_server.fake_runner import FakeRunner, Gate


def request(name: str, prompt: tuple[int, ...] = (10,), max_tokens: int = 4) -> Request:
    sampling = SamplingParameters(max_tokens=max_tokens, temperature=0)
    return Request(request_id=name, prompt_ids=prompt, sampling=sampling)


async def read(stream: TokenStream) -> tuple[list[int], TokenOutput]:
    outputs = [output async for output in stream]
    return [token for output in outputs for token in output.token_ids], outputs[-1]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - the thread's state has no event to await
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(runner: FakeRunner, limits: EngineLimits | None = None) -> AsyncIterator[Engine]:
    engine = Engine(runner, limits or EngineLimits(max_sequences=4, max_batch_tokens=16))
    engine.start()
    try:
        yield engine
    finally:
        await engine.stop(drain_seconds=0)


async def test_tokens_arrive_in_order_and_end_with_the_reason() -> None:
    async with running(FakeRunner()) as engine:
        tokens, last = await read(engine.generate(request("a", (7, 8))))
    assert tokens == [9, 10, 11, 12]
    assert last.finish_reason is FinishReason.LENGTH


async def test_many_requests_at_once_do_not_mix() -> None:
    async with running(FakeRunner(max_model_len=200, block_count=60)) as engine:
        streams = [
            engine.generate(request(str(i), tuple(range(i, i * 2)), 8)) for i in range(2, 30)
        ]
        answers = await asyncio.gather(*(read(stream) for stream in streams))
    assert [tokens[0] for tokens, _ in answers] == [2 * i for i in range(2, 30)]
    assert all(len(tokens) == 8 for tokens, _ in answers)


async def test_end_of_sequence_token_stops_and_is_the_last() -> None:
    async with running(FakeRunner(eos_token_ids=frozenset({12}))) as engine:
        tokens, last = await read(engine.generate(request("a", (10,), 20)))
    assert tokens == [11, 12]
    assert last.finish_reason is FinishReason.STOP


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_a_reader_that_leaves_costs_not_one_step_more(how: str) -> None:
    gate = Gate()
    runner = FakeRunner()
    runner.on_step = gate
    async with running(runner) as engine:
        stream = engine.generate(request("a", max_tokens=60))
        reader = asyncio.create_task(read(stream))
        await asyncio.to_thread(gate.reached.wait, 10)
        if how == "close":
            await stream.aclose()
            with pytest.raises(IndexError):  # nothing was read
                await reader
        else:
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
        gate.open()
        await until(lambda: engine.statistics().steps > 0 and engine.statistics().running == 0)
        assert engine.statistics().steps == 1
        assert engine.statistics().kv_blocks_used == 0
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_a_step_that_fails_ends_its_batch_and_no_other_request() -> None:
    runner = FakeRunner()

    def fail_on_poison(batch: Batch) -> None:
        if any(13 in item.token_ids for item in batch.items):
            raise ArithmeticError("unlucky")

    runner.on_step = fail_on_poison
    async with running(runner, EngineLimits(max_sequences=1, max_batch_tokens=8)) as engine:
        poisoned = engine.generate(request("poisoned", (13,)))
        sound = engine.generate(request("sound", (20,)))
        _, last = await read(poisoned)
        assert last.finish_reason is FinishReason.ERROR
        assert last.error == "ArithmeticError: unlucky"
        assert (await read(sound))[0] == [21, 22, 23, 24]
        assert engine.is_alive


async def test_a_step_without_memory_fails_its_largest_request_and_the_others_go_on() -> None:
    runner = FakeRunner()

    def run_out(batch: Batch) -> None:
        if any(len(item.token_ids) > 8 for item in batch.items):
            raise OutOfMemory("out of memory: tried to allocate 2 GiB")

    runner.on_step = run_out
    async with running(runner) as engine:
        streams = [
            engine.generate(request("small", (20,))),
            engine.generate(request("large", tuple(range(100, 112)))),
            engine.generate(request("next", (30,))),
        ]
        small, large, later = await asyncio.gather(*map(read, streams))
        assert (small[0], later[0]) == ([21, 22, 23, 24], [31, 32, 33, 34])
        assert large[1].finish_reason is FinishReason.ERROR
        assert "out of memory" in str(large[1].error)
        after_one = engine.is_short_of_memory
        for name in "ab":
            await read(engine.generate(request(name, tuple(range(100, 112)))))
        assert (after_one, engine.is_short_of_memory) == (False, True)
        assert not engine.has_lost_device


async def test_a_lost_runner_fails_everything_open_and_is_seen() -> None:
    gate = Gate()
    runner = FakeRunner()

    def lose(batch: Batch) -> None:
        gate(batch)
        raise RunnerLost("device fault")

    runner.on_step = lose
    async with running(runner, EngineLimits(max_sequences=1, max_batch_tokens=8)) as engine:
        streams = [engine.generate(request(name)) for name in "abc"]
        gate.open()
        for stream in streams:
            _, last = await read(stream)
            assert last.finish_reason is FinishReason.ERROR
            assert "device fault" in str(last.error)
        await until(lambda: not engine.is_alive)
        assert engine.has_lost_device
        with pytest.raises(EngineStopped):
            engine.generate(request("late"))


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    gate = Gate()
    runner = FakeRunner()
    runner.on_step = gate
    limits = EngineLimits(max_sequences=1, max_batch_tokens=8, max_queued=2)
    async with running(runner, limits) as engine:
        streams = [engine.generate(request(name)) for name in "abc"]
        with pytest.raises(QueueFull) as caught:
            engine.generate(request("d"))
        assert 1 <= caught.value.retry_after_seconds <= 60
        gate.open()
        await asyncio.gather(*(read(stream) for stream in streams))
        assert (await read(engine.generate(request("d"))))[0] == [11, 12, 13, 14]


async def test_what_could_never_finish_is_refused_before_it_is_queued() -> None:
    async with running(FakeRunner(max_model_len=20, block_count=4)) as engine:
        assert engine.longest_request == 16
        with pytest.raises(RequestTooLong) as caught:
            engine.generate(request("a", (1,) * 10, 7))
        assert (caught.value.limit, caught.value.got) == (16, 17)
        with pytest.raises(InvalidRequest, match="below 1000"):
            engine.generate(request("a", (1000,)))


async def test_a_request_id_belongs_to_one_open_request() -> None:
    async with running(FakeRunner()) as engine:
        first = engine.generate(request("a"))
        with pytest.raises(InvalidRequest, match="request_id"):
            engine.generate(request("a"))
        await read(first)
        await read(engine.generate(request("a")))


async def test_stop_lets_open_requests_finish() -> None:
    gate = Gate()
    runner = FakeRunner()
    runner.on_step = gate
    engine = Engine(runner, EngineLimits(max_sequences=4, max_batch_tokens=16))
    engine.start()
    reader = asyncio.create_task(read(engine.generate(request("a"))))
    await asyncio.to_thread(gate.reached.wait, 10)
    stopping = asyncio.create_task(engine.stop(drain_seconds=10))
    await asyncio.sleep(0)
    with pytest.raises(EngineStopped):
        engine.generate(request("late"))
    gate.open()
    await stopping
    assert (await reader)[0] == [11, 12, 13, 14]
    assert not engine.is_alive


async def test_stop_cancels_what_does_not_finish_in_time() -> None:
    gate = Gate()
    runner = FakeRunner()
    runner.on_step = gate
    engine = Engine(runner, EngineLimits(max_sequences=4, max_batch_tokens=16))
    engine.start()
    reader = asyncio.create_task(read(engine.generate(request("a"))))
    await asyncio.to_thread(gate.reached.wait, 10)
    stopping = asyncio.create_task(engine.stop(drain_seconds=0))
    await until(lambda: not engine._inbox.empty())
    gate.open()
    await stopping
    _, last = await reader
    assert last.finish_reason is FinishReason.CANCELLED
    assert not engine.is_alive


async def test_an_engine_that_was_not_started_refuses() -> None:
    engine = Engine(FakeRunner(), EngineLimits())
    assert not engine.is_alive
    with pytest.raises(EngineStopped):
        engine.generate(request("a"))


async def test_a_slow_reader_gets_everything_in_one_output() -> None:
    async with running(FakeRunner()) as engine:
        stream = engine.generate(request("a", (10,), 4))
        await until(lambda: engine.statistics().tokens_generated == 4)
        await until(lambda: engine.statistics().running == 0)
        await asyncio.sleep(0)
        tokens, _ = await read(stream)
    assert tokens == [11, 12, 13, 14]


async def test_statistics_count_what_was_done() -> None:
    async with running(FakeRunner()) as engine:
        await read(engine.generate(request("a", (1, 2, 3), 4)))
        statistics = engine.statistics()
    assert statistics.tokens_generated == 4
    assert statistics.tokens_computed == 3 + 3  # the last token of an answer is never computed
    assert statistics.kv_blocks_total == 64


async def test_the_heart_beats_while_steps_are_taken() -> None:
    gate = Gate()
    runner = FakeRunner()
    runner.on_step = gate
    async with running(runner) as engine:
        reader = asyncio.create_task(read(engine.generate(request("a"))))
        await asyncio.to_thread(gate.reached.wait, 10)
        age = engine.heartbeat_age_seconds()
        await until(lambda: engine.heartbeat_age_seconds() > age)  # it ages in a long step
        gate.open()
        await reader
        aged = engine.heartbeat_age_seconds()
        await until(lambda: engine.heartbeat_age_seconds() < aged + 1)


async def test_a_request_without_a_seed_is_given_one() -> None:
    runner = FakeRunner()
    async with running(runner) as engine:
        await read(engine.generate(request("a")))
    assert runner.batches[0].items[0].sampling.seed is not None


async def test_an_engine_that_was_not_started_can_be_stopped() -> None:
    await Engine(FakeRunner(), EngineLimits()).stop(drain_seconds=0)
