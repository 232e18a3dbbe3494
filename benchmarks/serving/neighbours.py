"""
Put the worst that the API lets in beside streams, and look at the streams.

One client's request may not delay another's by more than 250 ms. Four streams run, and a bad
neighbour sends its request three times, one after the other. What counts is the longest time
between two tokens of any stream, less that of the same streams alone.
"""

import asyncio
import itertools
import json
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from benchmarks.serving.client import ask
from benchmarks.serving.engines import Endpoint
from benchmarks.serving.sweep import tell
from benchmarks.serving.workloads import Prompt

STREAMS, STREAM_TOKENS = 4, 700
TIMES = 3
BODY_BYTES = 999_000  # the server takes a megabyte
CONTEXT = 1024  # of the tiny model
USER = {"role": "user", "content": "a"}
CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"


def bodies() -> Iterator[tuple[str, str, bytes]]:
    """Yield each neighbour: what it does, the path, the body."""
    plain = {"messages": [USER], "max_tokens": 100, "ignore_eos": True}
    yield "a text of a megabyte", COMPLETION, _json(prompt="word " * (BODY_BYTES // 5 - 10))
    yield "a megabyte of token ids", COMPLETION, _filled('{"prompt":[', "1", "]}")
    yield "a megabyte of turns", CHAT, _filled('{"messages":[', json.dumps(USER), "]}")
    yield "a megabyte of empty turns", CHAT, _filled('{"messages":[', "{}", "]}")
    unknown = {f"x{number}": 1 for number in range(BODY_BYTES // 14)}
    yield "fields that nobody knows", CHAT, _json(**unknown)
    yield "a hundred thousand brackets", CHAT, b"[" * BODY_BYTES
    yield "token ids below zero", "/detokenize", _filled('{"tokens":[', "-1", "]}")
    ids = [300] * (CONTEXT - 20)
    yield "the longest prompt", COMPLETION, _json(prompt=ids, max_tokens=8, cache_salt="SALT")
    yield "sixteen answers, 20 logprobs", CHAT, _json(**plain, n=16, logprobs=True, top_logprobs=20)
    biases = {str(token): 1 for token in range(700)}
    yield "all biases and penalties", CHAT, _json(**plain, n=16, logit_bias=biases, top_k=700)
    yield "256 patterns", CHAT, _schema(plain, 256)
    yield "3,000 patterns", CHAT, _schema(plain, 3_000)


def _json(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def _filled(head: str, part: str, tail: str) -> bytes:
    count = (BODY_BYTES - len(head) - len(tail)) // (len(part) + 1)
    return f"{head}{','.join([part] * count)}{tail}".encode()


def _schema(plain: dict[str, Any], count: int) -> bytes:
    patterns = {
        f"p{n}": {"type": "string", "pattern": f"^[a-z]{{{n % 50}}}x$"} for n in range(count)
    }
    schema = {"name": "s", "schema": {"type": "object", "properties": patterns}}
    return _json(**plain, n=4, response_format={"type": "json_schema", "json_schema": schema})


async def measure(endpoint: Endpoint, prompts: Sequence[Prompt], repeats: int) -> dict[str, Any]:
    """Return the longest gap beside each neighbour, and by how much the worst one adds to it."""
    turn = itertools.count()
    alone = median([(await _beside(endpoint, prompts, next(turn)))[0] for _ in range(repeats)])
    found: dict[str, Any] = {}
    for name, path, body in bodies():
        tell(f"neighbour: {name}")
        seen = [await _beside(endpoint, prompts, next(turn), path, body) for _ in range(repeats)]
        found[name] = {"longest_gap_seconds": median(gap for gap, _ in seen), "status": seen[0][1]}
    worst = max(found, key=lambda name: found[name]["longest_gap_seconds"])
    return {
        "alone_longest_gap_seconds": alone,
        "neighbours": found,
        "worst": worst,
        "added_at_most_seconds": found[worst]["longest_gap_seconds"] - alone,
    }


async def _beside(
    endpoint: Endpoint, prompts: Sequence[Prompt], turn: int, path: str = "", body: bytes = b""
) -> tuple[float, str]:
    salt = f"beside-{turn}"
    streams = [
        asyncio.create_task(ask(endpoint.port, endpoint.body(prompt, STREAM_TOKENS, salt)))
        for prompt in prompts[:STREAMS]
    ]
    status = ""
    if path:
        await asyncio.sleep(0.2)  # they have begun
        for number in range(TIMES):
            own = body.replace(b"SALT", f"{salt}-{number}".encode())
            status = await _post(endpoint.port, path, own)
    answers = await asyncio.gather(*streams)
    return max(gap for answer in answers for gap in answer.gaps), status


async def _post(port: int, path: str, body: bytes) -> str:
    """Send one request, read its answer to the end, return the status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
    )
    writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
    answer = await reader.read(-1)
    writer.close()
    return answer.split(b" ", 2)[1].decode()
