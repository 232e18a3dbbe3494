"""
Treat a server badly: requests that are nearly right, sockets that are slow, clients that leave.

The same workload runs for seconds in the tests, and for as long as one likes from the command line:

    python -m tests.model_server.abuse http://127.0.0.1:5000 --seconds 600

It prints what it did and which answers it got; a status of 500 or more that is not 503 fails it.
"""

import argparse
import asyncio
import contextlib
import copy
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

CHAT: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": 3,
    "temperature": 0,
}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {**CHAT, "stream": True, "stop": ["x"], "seed": 1, "top_p": 0.5},
    "/v1/completions": {"prompt": "Hello", "max_tokens": 3, "echo": True, "logit_bias": {"5": 1}},
    "/tokenize": {"prompt": "Hello", "add_special_tokens": True},
    "/detokenize": {"tokens": [1, 40, 41]},
    "/chat": {"prompt": "Hello", "generate_kwargs": {"max_new_tokens": 3, "top_k": 5}},
}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED = [
    *CHAT["messages"],
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "abcdefghi", "content": "1"},
]
STRANGE: list[Any] = [
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    2**200,
    -0.0,
    1e308,
    "",
    "\x00",
    "\ud800",
    "</s>[INST]",
    "🏴‍☠️" * 50,
    "a" * 5_000,
    [],
    {},
    [[]],
    [None] * 100,
    {"a": {"b": {}}},
    [{"role": "user", "content": "x"}] * 3,
    [TOOL],
    CALLED,
]
FIELDS = (
    "n",
    "logprobs",
    "top_logprobs",
    "tools",
    "tool_choice",
    "response_format",
    "min_tokens",
    "user",
    "x",
)


@dataclass
class Tally:
    """What was done and what came back."""

    done: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def note(self, kind: str, status: int, request: bytes) -> None:
        self.done[kind] += 1
        self.statuses[status] += 1
        if status >= 500 and status != 503:
            self.faults.append(f"{status} to {request[:2_000]!r}")


def mutated(draw: random.Random, value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Change one thing somewhere in a JSON value."""
    if isinstance(value, dict) and value and draw.random() < 0.8:
        key = draw.choice(list(value))
        changed = dict(value)
        match draw.randrange(4):
            case 0:
                del changed[key]
            case 1:
                changed[draw.choice(FIELDS)] = copy.deepcopy(draw.choice(STRANGE))
            case _:
                changed[key] = mutated(draw, value[key])
        return changed
    if isinstance(value, list) and value and draw.random() < 0.6:
        index = draw.randrange(len(value))
        return [*value[:index], mutated(draw, value[index]), *value[index + 1 :]]
    return copy.deepcopy(draw.choice(STRANGE))


def request_bytes(draw: random.Random) -> bytes:
    """Make one HTTP request that is a little wrong, in its JSON, its bytes or its head."""
    path = draw.choice(list(BODIES))
    body = BODIES[path]
    for _ in range(draw.randrange(4)):
        body = mutated(draw, body)
    data = bytearray(json.dumps(body).encode())
    if draw.random() < 0.2 and data:
        for _ in range(draw.randrange(1, 5)):
            data[draw.randrange(len(data))] = draw.randrange(256)
    kind = draw.choice(["application/json"] * 9 + ["text/plain"])
    length = len(data) if draw.random() < 0.95 else draw.choice([0, len(data) - 1])
    method = draw.choice([b"POST"] * 9 + [b"GET"])
    head = b"%b %b HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\nContent-Length: %d\r\n"
    lines = head % (method, path.encode(), kind.encode(), length)
    if draw.random() < 0.1:
        lines += b"X-%d: %b\r\n" % (
            draw.randrange(9),
            bytes(draw.randrange(33, 127) for _ in "abc"),
        )
    return lines + b"Connection: close\r\n\r\n" + bytes(data[:length])


async def status_of(port: int, request: bytes) -> int:
    """Send bytes and read the answer whole; 0 where the connection was closed without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(60):
            answer = await reader.read()
    except ConnectionError:
        return 0
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


async def send_mutant(port: int, draw: random.Random, tally: Tally) -> None:
    request = request_bytes(draw)
    tally.note("mutants", await status_of(port, request), request)


async def leave_early(port: int, draw: random.Random, tally: Tally) -> None:
    """Ask for a long answer and go away after a moment."""
    body = json.dumps({**CHAT, "max_tokens": 200, "stream": draw.random() < 0.5}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    await asyncio.sleep(draw.random() * 0.05)
    writer.transport.abort()
    tally.done["leavers"] += 1


async def dawdle(port: int, draw: random.Random, tally: Tally) -> None:
    """Send half a request and then nothing for a while."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_bytes(draw)[: draw.randrange(60)])
    await asyncio.sleep(draw.random())
    writer.transport.abort()
    tally.done["dawdlers"] += 1


async def abuse(
    port: int, *, until: Callable[[], bool], seed: int = 1, mutants: int = 4, slow: int = 40
) -> Tally:
    """Run all kinds at once, each client one thing after the other, until told to stop."""
    tally = Tally()

    async def keep_on(
        act: Callable[[int, random.Random, Tally], Awaitable[None]], number: int
    ) -> None:
        draw = random.Random(seed * 1_000 + number)  # noqa: S311 - the same abuse again
        while not until():
            await act(port, draw, tally)

    acts = [send_mutant] * mutants + [leave_early] * 2 + [dawdle] * slow
    await asyncio.gather(*(keep_on(act, number) for number, act in enumerate(acts)))
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description="Treat a server on this machine badly.")
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.seconds
    port = urlsplit(arguments.url).port or 5000
    tally = asyncio.run(abuse(port, until=lambda: time.monotonic() > end, seed=arguments.seed))
    for fault in tally.faults[:20]:
        sys.stderr.write(f"{fault}\n")
    result = {"done": tally.done, "statuses": dict(sorted(tally.statuses.items()))}
    sys.stdout.write(json.dumps({**result, "faults": len(tally.faults)}) + "\n")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
