"""
Measure what HTTP costs per streamed token: `python -m benchmarks.http_cost`.

A null engine hands one token to each of 64 streams at a fixed rate, 20,000 tokens/s together, so
that all processor time is the event loop's: waking, decoding, JSON, chunks, the socket. The client
is a process of its own. Processor time is the kernel's figure for the server's process between the
first token and the last. Prints one JSON object last.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import uvicorn
import uvloop
from model_server.api.lifecycle import Lifecycle, ModelIdentity, Phase
from model_server.api.metrics import Metrics
from model_server.api.model_names import ModelNames
from model_server.api.service import ServedModel, Service, Tokenizer
from model_server.engine.engine_state import EngineStatistics
from model_server.engine.request import FinishReason, Request, TokenOutput
from model_server.engine.token_stream import TokenStream
from model_server.text.chat_prompt import Tool, Turn
from model_server.web.app import build_app
from model_server.web.uvicorn_config import Wire, configuration

PROMPT = "The quick brown fox jumps over the lazy dog. "
FIRST_ID, IDS = 32, 96


class Letters:
    """Write each token as one letter: decoding costs next to nothing."""

    async def encode_text(self, text: str, *, limit: int) -> list[int]:
        """Encode by code point."""
        del limit
        return [1, *map(ord, text)]

    tool_form = None

    async def encode_chat(
        self, turns: Sequence[Turn], *, limit: int, tools: Sequence[Tool] = ()
    ) -> list[int]:
        """Encode the contents, joined."""
        del tools
        return await self.encode_text("".join(turn["content"] for turn in turns), limit=limit)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Decode by code point."""
        return "".join(map(chr, token_ids))

    def token_bytes(self, token_id: int) -> bytes:
        """Encode one letter."""
        return chr(token_id).encode()


class NullEngine:
    """Give every open request a token at each tick, and note the processor's time."""

    is_alive, has_lost_device, is_short_of_memory = True, False, False
    longest_request, block_size, vocabulary_size = 1_000_000, 16, 1_000

    def __init__(self, *, streams: int, tokens_per_second: float) -> None:
        """Wait until all streams are there, then tick."""
        self._streams: dict[str, tuple[TokenStream, Request]] = {}
        self._wanted = streams
        self._interval = streams / tokens_per_second
        self._given = 0
        self.used_seconds = self.lasted_seconds = 0.0

    def generate(self, request: Request) -> TokenStream:
        """Accept a request."""
        stream = TokenStream(
            request.request_id, lambda name: self._streams.pop(name, None) and None
        )
        self._streams[request.request_id] = (stream, request)
        if len(self._streams) == self._wanted:
            self._given = 0
            self._began = (time.process_time(), time.perf_counter())
            asyncio.get_running_loop().call_later(self._interval, self._tick)
        return stream

    def _tick(self) -> None:
        self._given += 1
        for name, (stream, request) in list(self._streams.items()):
            last = self._given >= request.sampling.max_tokens
            token = FIRST_ID + self._given % IDS
            reason = FinishReason.LENGTH if last else None
            stream.push(TokenOutput(request_id=name, token_ids=(token,), finish_reason=reason))
            if last:
                del self._streams[name]
        if self._streams:
            due = self._began[1] + (self._given + 1) * self._interval
            late = max(0.0, due - time.perf_counter())
            asyncio.get_running_loop().call_later(late, self._tick)
        else:
            self.used_seconds = time.process_time() - self._began[0]
            self.lasted_seconds = time.perf_counter() - self._began[1]

    def heartbeat_age_seconds(self) -> float:
        """Be alive."""
        return 0.0

    def statistics(self) -> EngineStatistics:
        """Show nothing."""
        return EngineStatistics()

    def start(self) -> None:
        """Do nothing."""

    async def stop(self, drain_seconds: float) -> None:
        """Do nothing."""


def client(port: int, streams: int, tokens: int, rounds: int, done: Connection) -> None:
    """Read all streams to their end, some times over."""

    async def read_one() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        content = [{"role": "user", "content": PROMPT}]
        body = {"messages": content, "max_tokens": tokens, "stream": True, "temperature": 0}
        data = json.dumps(body).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + data)
        events = 0
        while True:
            part = await reader.read(2**16)
            events += part.count(b"data: ")
            if b"[DONE]" in part or not part:
                writer.close()
                return events

    async def read_all() -> list[int]:
        return await asyncio.gather(*(read_one() for _ in range(streams)))

    async def go() -> None:
        for _ in range(rounds):
            done.send(await read_all())

    uvloop.run(go())


async def measure(arguments: argparse.Namespace, tokenizer: Tokenizer) -> dict[str, object]:
    """Serve, let the client read, and work out the cost."""
    names = ModelNames.of(["null"])
    lifecycle = Lifecycle(ModelIdentity(name="null"))
    service = Service(names, lifecycle, Metrics("null"))
    engine = NullEngine(streams=arguments.streams, tokens_per_second=arguments.rate)
    service.loaded = ServedModel(engine=engine, tokenizer=tokenizer)
    lifecycle.enter(Phase.READY)
    server = uvicorn.Server(configuration(build_app(service), Wire()))
    server.config.port = 0
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    here, there = multiprocessing.Pipe()
    work = (port, arguments.streams, arguments.tokens, arguments.rounds, there)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=client, args=work)
    process.start()
    costs, rates = [], []
    tokens = arguments.streams * arguments.tokens
    for _ in range(arguments.rounds):
        events = await asyncio.to_thread(here.recv)
        assert all(count >= arguments.tokens for count in events), "an answer was cut"  # noqa: S101 - a benchmark checks itself
        costs.append(1e6 * engine.used_seconds / tokens)
        rates.append(tokens / engine.lasted_seconds)
    process.join()
    server.should_exit = True
    await serving
    return {
        "benchmark": "http_cost",
        "streams": arguments.streams,
        "tokens_each": arguments.tokens,
        "tokenizer": str(arguments.model or "one letter per token"),
        "microseconds_per_token": round(statistics.median(costs), 1),
        "least_and_most": [round(min(costs), 1), round(max(costs), 1)],
        "tokens_per_second": round(statistics.median(rates)),
    }


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description="What HTTP costs per streamed token.")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=600, help="of each answer")
    parser.add_argument("--rate", type=float, default=20_000, help="tokens/s of all together")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path, help="folder whose tokenizer decodes (default: none)")
    arguments = parser.parse_args()
    tokenizer: Tokenizer = Letters()
    if arguments.model:
        from model_server.text.tokenizer import TextTokenizer  # noqa: PLC0415 - transformers: seconds

        tokenizer = TextTokenizer(arguments.model, chat_template=None)
    print(json.dumps(uvloop.run(measure(arguments, tokenizer))))


if __name__ == "__main__":
    main()
