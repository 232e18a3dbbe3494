"""Under abuse: no answer of 500, no traceback, no growth; good clients are served all the same."""

import asyncio
import gc
import itertools
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import openai
import pytest
import pytest_asyncio
from model_server.engine.engine_state import EngineLimits
from model_server.settings import Settings

from tests.model_server.abuse import Tally, abuse, leave_early, request_bytes, send_mutant
from tests.model_server.fake_runner import FakeRunner
from tests.model_server.http_server import Running, counting, serving, until
from tests.model_server.test_http_real_model import loader

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

MIB = 2**20
SCHEMATHESIS_SECONDS = "15"  # `make abuse` takes ten minutes
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def runner() -> FakeRunner:
    return FakeRunner(max_model_len=512, block_count=4_096, vocabulary_size=1_200_000)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running() -> AsyncIterator[Running]:
    load = counting(runner(), EngineLimits(max_sequences=32, max_queued=128))
    async with serving(load) as server:
        yield server


async def send_mutants(running: Running, count: int, seed: int) -> Tally:
    tally = Tally()
    draw = random.Random(seed)  # noqa: S311 - the same requests again
    for _ in range(count // 8):
        await asyncio.gather(*(send_mutant(running.port, draw, tally) for _ in range(8)))
    return tally


async def test_mutated_requests_get_no_500_leave_no_traceback_and_no_memory(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    await send_mutants(running, 400, seed=1)
    caplog.clear()
    before = resident_bytes()
    tally = await send_mutants(running, 2_000, seed=2)
    assert tally.faults == []
    assert {200, 400, 405, 415, 422} <= tally.statuses.keys()
    assert [r.getMessage() for r in caplog.records if r.exc_info or r.levelname == "ERROR"] == []
    caplog.clear()  # it keeps the records, which are no growth of the server
    assert resident_bytes() - before < 20 * MIB
    await running.until_free()


async def test_mutations_are_the_same_for_a_seed_and_of_many_kinds() -> None:
    draws = [random.Random(seed) for seed in (3, 3)]  # noqa: S311 - the same requests again
    first, again = ([request_bytes(draw) for _ in range(50)] for draw in draws)
    assert first == again
    assert len(set(first)) > 40


async def test_requests_made_from_the_apis_own_description_get_no_500(
    running: Running, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{running.url}/openapi.json"),
        *("--checks", "not_a_server_error", "--max-examples", "10", "--seed", "1"),
        *("--phases", "fuzzing", "--max-time", SCHEMATHESIS_SECONDS, "--no-color"),
        *("--request-timeout", "60"),
        cwd=tmp_path,  # it leaves a cache where it runs
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},  # noqa: TID251 - the child's environment
    )
    said, _ = await asyncio.wait_for(process.communicate(), 200)
    assert process.returncode == 0, said.decode()[-4_000:]
    await running.until_free()


async def test_a_thousand_leavers_leave_nothing_behind(running: Running) -> None:
    tally = Tally()
    draw = random.Random(4)  # noqa: S311 - the same moments again
    for _ in range(20):
        await asyncio.gather(*(leave_early(running.port, draw, tally) for _ in range(50)))
    assert tally.done["leavers"] == 1_000
    await until(lambda: running.service.open_answers == 0)
    await running.until_free()
    assert (await running.chat(max_tokens=2)).status_code == 200


async def test_two_hundred_slow_sockets_do_not_keep_twenty_clients_from_their_answers(
    running: Running,
) -> None:
    slow = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(200)]
    for _, writer in slow:
        writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n")
    for _ in range(5):
        answers = await asyncio.gather(*(running.chat("abc", max_tokens=3) for _ in range(20)))
        texts = {answer.json()["choices"][0]["message"]["content"] for answer in answers}
        assert texts == {"def"}
    assert (await running.client.get("/health")).status_code == 200
    for _, writer in slow:
        writer.close()


def counted(pod: Running, arrived: Counter[int]) -> Callable[[], AbstractContextManager[None]]:
    """Open answers as the pod does, and count them."""
    open_answer = pod.service.open_answer

    def opened() -> AbstractContextManager[None]:
        arrived[pod.port] += 1
        return open_answer()

    return opened


async def test_a_rolling_update_under_load_fails_no_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The Service forgets a pod before its SIGTERM (preStop), and knows a new one once ready."""
    endpoints: list[Running] = []
    statuses: list[int] = []
    # Both only grow: a pod's answers that are open could, for a moment, count one that its client
    # has, and hide one that has not come yet.
    sent: Counter[int] = Counter()
    arrived: Counter[int] = Counter()
    turn, over = itertools.count(), asyncio.Event()

    async def client() -> None:
        while not over.is_set():
            pod = endpoints[next(turn) % len(endpoints)]
            stream = next(turn) % 3 == 0
            sent[pod.port] += 1
            answer = await pod.chat("abc", max_tokens=20, stream=stream)
            statuses.append(answer.status_code if '"error"' not in answer.text else 500)

    async def pod_of(generation: int) -> tuple[Running, asyncio.Event, asyncio.Task[None]]:
        ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
        term = asyncio.Event()

        async def live() -> None:
            async with serving(counting(runner(), EngineLimits()), drain_seconds=20) as pod:
                monkeypatch.setattr(pod.service, "open_answer", counted(pod, arrived))
                ready.set_result(pod)
                await term.wait()
                pod.server.drain()
                assert await pod.ended == 0, generation

        task = asyncio.create_task(live())
        return await ready, term, task

    def all_have_arrived(pod: Running) -> bool:
        return arrived[pod.port] == sent[pod.port]

    old = [await pod_of(0), await pod_of(0)]
    endpoints += [pod for pod, _, _ in old]
    clients = [asyncio.create_task(client()) for _ in range(6)]
    for generation in range(1, 5):
        pod, term, task = old.pop(0)
        new = await pod_of(generation)
        endpoints.append(new[0])
        endpoints.remove(pod)
        await until(partial(all_have_arrived, pod))  # what preStop waits for
        term.set()
        await asyncio.wait_for(task, 30)
        old.append(new)
    over.set()
    await asyncio.gather(*clients)
    assert len(statuses) > 50
    assert set(statuses) == {200}
    for _, term, task in old:
        term.set()
        await task


async def test_sixty_four_sdk_streams_are_served_while_the_abuse_goes_on(
    tiny_weights: Path,
) -> None:
    settings = Settings(model=tiny_weights, preset="tiny-mistral", device="cpu", max_queued=256)
    async with serving(loader(settings), names=["tiny-mistral"]) as running:
        url = f"{running.url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:

            async def stream(number: int) -> str | None:
                chunks = await client.chat.completions.create(
                    model="tiny-mistral",
                    messages=[{"role": "user", "content": f"Count from {number}."}],
                    max_tokens=24,
                    temperature=0,
                    stream=True,
                )
                reason = None
                async for chunk in chunks:
                    reason = chunk.choices[0].finish_reason or reason
                return reason

            over = asyncio.Event()
            abusing = asyncio.create_task(abuse(running.port, until=over.is_set, slow=100))
            reasons = await asyncio.gather(*(stream(number) for number in range(64)))
            over.set()
            tally = await abusing
        assert set(reasons) <= {"stop", "length"}
        assert tally.faults == []
        assert min(tally.done.values()) > 0
        await until(lambda: running.service.open_answers == 0, seconds=30)
