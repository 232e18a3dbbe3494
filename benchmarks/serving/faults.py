"""
Do to a server what clients, threads and clusters do, and time what becomes of it.

Four scenes: slow sockets beside good clients, clients that leave, an engine that dies or hangs, and
servers that are replaced one after the other under load. Three are played to servers in processes
of their own with the tiny model. An engine cannot be made to die from outside, so the third runs in
this process: a real HTTP server and a real engine thread, over a runner that computes nothing.
"""

import asyncio
import itertools
import json
import re
import signal
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import httpx
from model_server.engine.batch import Batch

from benchmarks.serving.client import BadAnswer, ask
from benchmarks.serving.engines import Endpoint
from benchmarks.serving.figures import percentile, spread
from benchmarks.serving.workloads import Prompt
from tests.model_server.fake_runner import FakeRunner
from tests.model_server.http_server import counting, serving

SLOW_SOCKETS, CLIENTS, LEAVERS = 200, 20, 1_000
AT_ONCE = 16  # leavers
SHORT, LONG = 16, 400  # tokens of an answer
FREE = {"running": 0.0, "waiting": 0.0, "cache": 0.0}
WAIT_SECONDS = 30.0
GATHER_SECONDS = 1.0  # between taking a server out of the list and its SIGTERM, as preStop waits


async def slow_sockets(
    endpoint: Endpoint, prompts: Sequence[Prompt], repeats: int
) -> dict[str, float]:
    """Compare the whole answers of twenty clients with and without two hundred half requests."""
    quiet, disturbed = [], []
    await _answers(endpoint, prompts, "warm")
    for repeat in range(repeats):
        quiet.append(await _answers(endpoint, prompts, f"quiet-{repeat}"))
        slow = [
            await asyncio.open_connection("127.0.0.1", endpoint.port) for _ in range(SLOW_SOCKETS)
        ]
        for _, writer in slow:
            writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n")
        disturbed.append(await _answers(endpoint, prompts, f"slow-{repeat}"))
        for _, writer in slow:
            writer.close()
    without, among = spread(quiet).median, spread(disturbed).median
    return {"p99_seconds": without, "p99_seconds_among_slow": among, "growth": among / without}


async def _answers(endpoint: Endpoint, prompts: Sequence[Prompt], salt: str) -> float:
    seconds: list[float] = []
    for part in range(5):
        bodies = [endpoint.body(prompt, SHORT, f"{salt}-{part}") for prompt in prompts[:CLIENTS]]
        answers = await asyncio.gather(*(ask(endpoint.port, body) for body in bodies))
        seconds += [answer.ended for answer in answers]
    return percentile(seconds, 0.99)


async def leavers(endpoint: Endpoint, prompt: Prompt, repeats: int) -> dict[str, float]:
    """Time from a closed socket to an idle engine; then leave a thousand times and count."""
    seconds = []
    for repeat in range(repeats * 5):
        writer = await _begin(endpoint, prompt, f"leave-{repeat}")
        began = time.perf_counter()
        writer.transport.abort()
        await _until_free(endpoint.port)
        seconds.append(time.perf_counter() - began)
    for round_ in range(LEAVERS // AT_ONCE + 1):
        open_ = [_begin(endpoint, prompt, f"crowd-{round_}") for _ in range(AT_ONCE)]
        for writer in await asyncio.gather(*open_):
            writer.transport.abort()
    with suppress(TimeoutError):
        async with asyncio.timeout(WAIT_SECONDS):
            await _until_free(endpoint.port)
    left = _load(endpoint.port)
    return {
        "cancel_to_free_seconds": spread(seconds).median,
        "cancel_to_free_seconds_most": max(seconds),
        "left_behind": sum(left.values()),
        "leavers": (LEAVERS // AT_ONCE + 1) * AT_ONCE,
    }


async def _begin(endpoint: Endpoint, prompt: Prompt, salt: str) -> asyncio.StreamWriter:
    """Ask for a long answer and read its first part."""
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    data = json.dumps(endpoint.body(prompt, LONG, salt)).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + data)
    await reader.readuntil(b"data: {")
    return writer


async def _until_free(port: int) -> None:
    while await asyncio.to_thread(_load, port) != FREE:  # noqa: ASYNC110 - another process's state
        await asyncio.sleep(0.002)


def _load(port: int) -> dict[str, float]:
    url = f"http://127.0.0.1:{port}/metrics"
    with urllib.request.urlopen(url, timeout=WAIT_SECONDS) as answer:
        text = answer.read().decode()
    names = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
    values = [re.search(rf"^vllm:{name}{{.*}} (\S+)$", text, re.MULTILINE) for name in names]
    return dict(zip(FREE, (float(v[1]) if v else 1.0 for v in values), strict=True))


async def broken_engines() -> dict[str, float]:
    """Let an engine's thread die, then another hang, at the limits of a real server."""
    release = threading.Event()

    def die(_batch: Batch) -> None:
        raise SystemExit

    def hang(_batch: Batch) -> None:
        release.wait()

    dead, _, _ = await _broken(die)
    gone, unready, code = await _broken(hang, release.set)
    return {
        "dead_thread_to_exit_seconds": dead,
        "stalled_to_not_ready_seconds": unready,
        "stalled_to_exit_seconds": gone,
        "stalled_exit_code": code,
    }


async def _broken(
    fault: Callable[[Batch], None], afterwards: Callable[[], None] = lambda: None
) -> tuple[float, float, int]:
    runner = FakeRunner(max_model_len=128)
    async with serving(counting(runner)) as running:
        runner.on_step = fault
        asked = asyncio.create_task(running.chat("abc"))
        began, unready = time.perf_counter(), 0.0
        while not running.ended.done():
            if not unready:
                with suppress(httpx.HTTPError):
                    answer = await running.client.get("/ready")
                    unready = 0.0 if answer.is_success else time.perf_counter() - began
            await asyncio.sleep(0.05)
        gone = time.perf_counter() - began
        afterwards()
        await asyncio.gather(asked, return_exceptions=True)
        return gone, unready, running.ended.result()


async def rolling_update(
    start: Callable[[], Endpoint], prompts: Sequence[Prompt], *, seconds: float, every: float
) -> dict[str, Any]:
    """Replace one of two servers again and again while clients go round both."""
    serving_ = [await asyncio.to_thread(start) for _ in range(2)]
    for endpoint in serving_:
        endpoint.resume()
    turn, over = itertools.count(), asyncio.Event()
    outcomes: Counter[str] = Counter()
    codes: Counter[int] = Counter()

    async def client(number: int) -> None:
        while not over.is_set():
            endpoint = serving_[next(turn) % len(serving_)]
            body = endpoint.body(prompts[number], SHORT * 4, f"update-{next(turn)}")
            try:
                await ask(endpoint.port, body)
            except (BadAnswer, OSError) as error:
                outcomes[f"failed: {error}"] += 1
            else:
                outcomes["answered"] += 1

    clients = [asyncio.create_task(client(number)) for number in range(6)]
    end, replaced = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        began = time.monotonic()
        new = await asyncio.to_thread(start)
        new.resume()
        old = serving_.pop(0)
        serving_.append(new)
        await asyncio.sleep(GATHER_SECONDS)
        old.process.send_signal(signal.SIGTERM)
        codes[await asyncio.to_thread(old.process.wait, 60)] += 1
        replaced += 1
        await asyncio.sleep(max(0.0, every - (time.monotonic() - began)))
    over.set()
    await asyncio.gather(*clients)
    for endpoint in serving_:
        endpoint.close()
    failed = {reason: count for reason, count in outcomes.items() if reason != "answered"}
    return {
        "answered": outcomes["answered"],
        "failed": sum(failed.values()),
        "failures": failed,
        "replaced": replaced,
        "exit_codes": dict(codes),
    }
