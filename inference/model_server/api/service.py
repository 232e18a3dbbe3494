"""
Hold what the routes need: the life cycle from the start, the loaded model once there is one.

Routes, metrics and the server's own tasks share this one object; it is the only mutable thing that
they share, and only the event loop changes it.

Must not import torch or transformers.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from model_server.api import errors
from model_server.api.generation import Generator
from model_server.api.lifecycle import Lifecycle, Phase
from model_server.api.metrics import EngineLoad, Metrics
from model_server.api.model_names import ModelNames
from model_server.engine.engine_state import EngineStatistics
from model_server.engine.request import Constraint
from model_server.engine.silence import Silence
from model_server.settings import ANSWER_SECONDS, FIRST_TOKEN_SECONDS
from model_server.text.call_grammar import CallRules
from model_server.text.chat_prompt import Tool, Turn
from model_server.text.tool_form import ToolForm, UnknownForm

RETRY_SECONDS = {Phase.STARTING: 10, Phase.LOADING: 10, Phase.WARMING: 2}
STALLED_SECONDS = 30.0  # an engine without a sign of life for so long takes no requests
DEAD_SECONDS = 60.0  # a thread without a sign of life for so long will not come back


class Tokenizer(Protocol):
    """Turn text into token ids and back (tokenizer.TextTokenizer is one)."""

    @property
    def tool_form(self) -> ToolForm | UnknownForm | None:
        """How the model calls tools; None where its template takes none."""
        ...

    async def encode_text(self, text: str, *, limit: int) -> list[int]:
        """Encode a text as it stands."""
        ...

    async def encode_chat(
        self, turns: Sequence[Turn], *, limit: int, tools: Sequence[Tool] = ()
    ) -> list[int]:
        """Encode a conversation."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Decode tokens without the control tokens among them."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes that one token stands for; a control token's are its name."""
        ...


class Grammars(Protocol):
    """Hold answers to JSON schemas (grammar.Grammars is one)."""

    async def compile(self, schema: dict[str, Any]) -> Callable[[], Constraint]:
        """Make what holds answers to a schema; call the result once for each answer."""
        ...

    async def compile_calls(self, rules: CallRules) -> Callable[[], Constraint]:
        """Make what holds answers to calls of tools; call the result once for each answer."""
        ...


class Engine(Generator, Protocol):
    """Generate tokens, and show how that goes (engine.Engine is one)."""

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        ...

    @property
    def has_lost_device(self) -> bool:
        """Whether the thread ended because the device will not compute again."""
        ...

    @property
    def is_short_of_memory(self) -> bool:
        """Whether steps have run out of memory again and again, and recently."""
        ...

    @property
    def longest_request(self) -> int:
        """Longest prompt and answer together, in tokens."""
        ...

    @property
    def block_size(self) -> int:
        """Tokens that one block of the cache holds."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """Token ids that the model knows: all from 0 to below this."""
        ...

    def heartbeat_age_seconds(self) -> float:
        """Age of the thread's latest sign of life."""
        ...

    def statistics(self) -> EngineStatistics:
        """Show the load."""
        ...

    def start(self) -> None:
        """Start; call it on the event loop."""

    async def stop(self, drain_seconds: float) -> None:
        """Let open requests finish for so long, then end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLimits:
    """Bound how long an answer may take, in seconds from its request."""

    first_token_seconds: float = FIRST_TOKEN_SECONDS
    answer_seconds: float = ANSWER_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """Hold a model that can be asked."""

    engine: Engine
    tokenizer: Tokenizer
    grammars: Grammars | None = None  # None: every answer is free text
    name: str = "this model"


class Service:
    """Answer whether, and by what, a request can be served."""

    def __init__(
        self,
        names: ModelNames,
        lifecycle: Lifecycle,
        metrics: Metrics,
        limits: AnswerLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start without a model."""
        self._clock = clock
        self._loop_seen = clock()
        self._silence = Silence(clock())
        self.limits = limits or AnswerLimits()
        self.names = names
        self.lifecycle = lifecycle
        self.metrics = metrics
        self.loaded: ServedModel | None = None
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        metrics.watch(lifecycle.now, self._load)

    def ready_model(self) -> ServedModel:
        """
        Return the model, if requests are taken.

        Raises:
            ApiError: 503 with how far the start is, and when to ask again.
        """
        now = self.lifecycle.now()
        if now.is_ready and self.loaded is not None:
            return self.loaded
        code = {Phase.DRAINING: "stopping", Phase.READY: "stalled", Phase.FAILED: "failed"}.get(
            now.phase, "model_loading"
        )
        seconds = RETRY_SECONDS.get(now.phase, 5)
        raise errors.unavailable(now.sentence(), code=code, retry_after_seconds=seconds)

    def loop_is_alive(self) -> None:
        """Show that the event loop goes round; it calls this twice a second."""
        self._loop_seen = self._clock()

    def is_healthy(self) -> bool:
        """Tell whether this process can still come to serve; any thread may ask."""
        if self.lifecycle.now().phase is Phase.FAILED:
            return False
        if self._clock() - self._loop_seen > DEAD_SECONDS:
            return False
        return self.loaded is None or self.loaded.engine.is_alive or self._is_draining()

    def notice_stall(self) -> float:
        """
        Make an engine in trouble not ready, and ready again when it is over; return its silence.

        Trouble is silence, and memory that ran out again and again in the last minute.
        """
        if self.loaded is None:
            return 0.0
        age = self.loaded.engine.heartbeat_age_seconds()
        silence = self._silence.look(age, self._clock())
        trouble = None
        if silence > STALLED_SECONDS:
            trouble = f"the engine has been silent for {silence:.0f} s"
        elif self.loaded.engine.is_short_of_memory:
            trouble = "requests ran out of memory again and again"
        self.lifecycle.trouble(trouble)
        return silence

    @contextmanager
    def open_answer(self) -> Iterator[None]:
        """Count an answer as open, so that a drain waits for it."""
        self._open += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._open -= 1
            if self._open == 0:
                self._idle.set()

    @property
    def open_answers(self) -> int:
        """Return how many answers are under way."""
        return self._open

    async def idle(self) -> None:
        """Wait until no answer is open."""
        await self._idle.wait()

    def _is_draining(self) -> bool:
        return self.lifecycle.now().phase is Phase.DRAINING

    def _load(self) -> EngineLoad | None:
        if self.loaded is None:
            return None
        now = self.loaded.engine.statistics()
        usage = now.kv_blocks_used / now.kv_blocks_total if now.kv_blocks_total else 0.0
        return EngineLoad(
            running=now.running,
            waiting=now.waiting,
            kv_usage=usage,
            preemptions=now.preemptions,
            prefix_tokens_asked=now.prefix_tokens_asked,
            prefix_tokens_found=now.prefix_tokens_found,
            block_size=self.loaded.engine.block_size,
            block_count=now.kv_blocks_total,
            adapters_running=tuple(sorted(now.adapters.running)),
            adapters_waiting=tuple(sorted(now.adapters.waiting)),
        )
