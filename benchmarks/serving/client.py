"""
Ask a server over HTTP and note when each part of each answer comes.

Plain sockets, one connection per request: the client must cost less than what it measures, so lines
are kept as they come and read after the clock has stopped.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BUFFER_BYTES = 2**20


class BadAnswer(Exception):
    """Report an answer that is not a whole stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Hold the moments of one answer, seconds since it was due."""

    moments: tuple[float, ...]  # of each part that had text
    prompt_tokens: int
    tokens: int
    ended: float

    @property
    def first(self) -> float:
        """Seconds until the first part."""
        return self.moments[0] if self.moments else self.ended

    @property
    def gaps(self) -> list[float]:
        """Seconds between parts."""
        return [
            later - sooner for sooner, later in zip(self.moments, self.moments[1:], strict=False)
        ]


async def ask(port: int, body: dict[str, Any], due: float | None = None) -> Answer:
    """
    Send one request for a stream and read it to its end.

    Args:
        port: On the loopback address.
        body: Of /v1/completions.
        due: When it should have been sent, by time.perf_counter; by default now.

    Raises:
        BadAnswer: If the answer is an error, or ends without the count of its tokens.
    """
    began = time.perf_counter() if due is None else due
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=BUFFER_BYTES)
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    writer.write(head.encode() + data)
    lines: list[tuple[float, bytes]] = []
    try:
        status = await reader.readline()
        while line := await reader.readline():
            lines.append((time.perf_counter() - began, line))
    finally:
        writer.close()
    if b" 200 " not in status:
        raise BadAnswer(f"{status.decode().strip()}: {lines[-1][1].decode() if lines else ''}")
    return read_answer(lines)


def read_answer(lines: Sequence[tuple[float, bytes]]) -> Answer:
    """
    Read the lines of a stream of events.

    Raises:
        BadAnswer: If an event holds an error, or none holds the usage.
    """
    moments, usage = [], None
    for moment, line in lines:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[len(b"data: ") :])
        if "error" in event:
            raise BadAnswer(str(event["error"]))
        if any(choice.get("text") for choice in event.get("choices", ())):
            moments.append(moment)
        if event.get("usage"):
            usage = event["usage"]
    if usage is None:
        raise BadAnswer(f"the stream ended after {len(lines)} lines without its usage")
    return Answer(
        moments=tuple(moments),
        prompt_tokens=usage["prompt_tokens"],
        tokens=usage["completion_tokens"],
        ended=lines[-1][0],
    )
