"""
Hold an answer to JSON, or to a JSON schema, token by token.

The work is llguidance's: a schema becomes a grammar, and before each token the grammar says which
tokens may come. A grammar is compiled off the event loop, with bounds on its size and time, and
copied for each answer; a bad schema is refused with the place in it where the fault lies.

An answer may open with one space, since the token that a Mistral model opens with has one, and has
at most a few characters of space between its parts, or a model that has nothing to say would go on
with spaces for ever.

Must not import torch, transformers, or anything of HTTP.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from model_server.engine.request import Constraint, ConstraintBroken
from model_server.text.call_grammar import CallRules, Schema, schema_text

ANY_OBJECT: dict[str, Any] = {"type": "object"}
COMPILE_SECONDS = 2.0
THREADS = 2  # one grammar that takes its whole time does not hold up the next
MAX_GRAMMAR_SYMBOLS = 100_000  # the library's own bound is five times that, and seconds of work
# Of one object: what may come where a name is due is worked out in the engine's thread, 12 ms for
# 1,000 names and 109 ms for 3,000, and the library gives such an answer up at its first name.
MAX_PROPERTIES = 256
MAX_PROBES = 100  # parts of a bad schema that are tried to find the fault
LONGEST_NAME = 64
LONGEST_CAUSE = 200
# Where a schema holds others: by name, in a list, or one.
NAMED = ("properties", "patternProperties", "$defs", "definitions")
LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
SINGLE = ("items", "additionalProperties")
SHARED = ("$defs", "definitions")  # what references of all parts lead to

Asked = TypeVar("Asked")


class BadSchema(Exception):
    """Report a schema that no grammar can be made of: where in it, and why."""

    def __init__(self, path: str, cause: str) -> None:
        """Keep the place, as `properties.a.items`, empty for the whole, and the cause."""
        super().__init__(f"{path}: {cause}" if path else cause)
        self.path = path
        self.cause = cause


class Grammars:
    """Compile the grammars of one model's vocabulary."""

    def __init__(
        self, tokenizer: str, *, vocabulary_size: int, eos_token_ids: Collection[int]
    ) -> None:
        """
        Read the vocabulary: every thread stands for 0.1 s then, so do it before serving.

        Args:
            tokenizer: The tokenizer as JSON, as the library `tokenizers` writes it.
            vocabulary_size: Width of the logits.
            eos_token_ids: Tokens that end an answer.
        """
        self._vocabulary = LLTokenizer(
            tokenizer,
            n_vocab=vocabulary_size,
            eos_token=sorted(eos_token_ids) or None,
            slices=LLTokenizer.json_slices(),
        )
        self._limits = LLParserLimits(verbose_errors=False, max_grammar_size=MAX_GRAMMAR_SYMBOLS)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="grammar")

    async def compile(self, schema: Schema) -> Callable[[], Constraint]:
        """
        Make what holds answers to a schema; call the result once for each answer.

        Raises:
            BadSchema: If the schema is wrong, unsupported, or too large.
        """
        return await self._in_time(self.compile_now, schema)

    async def compile_calls(self, rules: CallRules) -> Callable[[], Constraint]:
        """
        Make what holds answers to calls of tools; call the result once for each answer.

        Raises:
            BadSchema: If a schema is wrong or unsupported, with its place in the request, or if
                they are too large together.
        """
        return await self._in_time(self.compile_calls_now, rules)

    def compile_now(self, schema: Schema) -> Callable[[], Constraint]:
        """
        Do the work of `compile` in the calling thread.

        Raises:
            BadSchema: If the schema is wrong, unsupported, or too large.
        """
        refuse_wide(schema)
        grammar = LLMatcher.grammar_from_lark(
            f'start: " "? json\njson: %json {schema_text(schema)}'
        )
        first = LLMatcher(self._vocabulary, grammar, log_level=0, limits=self._limits)
        if first.is_error():
            raise locate(schema, self._fault)
        trial = first.deep_copy()
        trial.try_consume_tokens(self._vocabulary.tokenize_str(" "))
        trial.compute_bitmask()
        if trial.is_error() or trial.is_stopped():
            raise BadSchema("", "no text can follow it")
        return lambda: AnswerGrammar(first.deep_copy())

    def compile_calls_now(self, rules: CallRules) -> Callable[[], Constraint]:
        """
        Do the work of `compile_calls` in the calling thread.

        Raises:
            BadSchema: As `compile_calls` does.
        """
        for place, schema in rules.schemas:
            try:
                self.compile_now(schema)
            except BadSchema as error:
                raise BadSchema(f"{place}.{error.path}".rstrip("."), error.cause) from None
        grammar = LLMatcher.grammar_from_lark(rules.lark())
        first = LLMatcher(self._vocabulary, grammar, log_level=0, limits=self._limits)
        if first.is_error():
            raise BadSchema("tools", "their schemas are too large together; offer fewer")
        mark_id = rules.form.mark_id
        if mark_id is not None and rules.waits_for_mark:
            return lambda: CallsAfterMark(AnswerGrammar(first.deep_copy()), mark_id)
        return lambda: AnswerGrammar(first.deep_copy())

    async def _in_time(
        self, compiling: Callable[[Asked], Callable[[], Constraint]], asked: Asked
    ) -> Callable[[], Constraint]:
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, compiling, asked)
        try:
            return await asyncio.wait_for(work, COMPILE_SECONDS)
        except TimeoutError:
            cause = f"it takes longer than {COMPILE_SECONDS:g} s to compile; make it simpler"
            raise BadSchema("", cause) from None

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _fault(self, schema: Schema) -> str | None:
        grammar = LLMatcher.grammar_from_json_schema(schema_text(schema))
        fault = LLMatcher.validate_grammar(grammar, self._vocabulary, limits=self._limits)
        return fault or None


class AnswerGrammar:
    """Follow one answer (request.Constraint)."""

    def __init__(self, matcher: LLMatcher) -> None:
        """Take over a matcher that nobody else uses."""
        self._matcher = matcher

    @property
    def is_complete(self) -> bool:
        """Whether nothing can follow."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    @property
    def is_free(self) -> bool:
        """Whether every token may come next: here only the mask tells."""
        return False

    def allowed_tokens(self) -> bytes:
        """
        Return one bit per token id, the lowest first.

        Raises:
            ConstraintBroken: If the grammar became too complex on the way.
        """
        mask = self._matcher.compute_bitmask()
        if self._matcher.is_error():
            cause = _first_line(self._matcher.get_error())
            raise ConstraintBroken(f"the grammar of the answer failed: {cause}")
        return mask

    def advance(self, token_id: int) -> None:
        """Take in the token that was drawn; an error shows at the next mask."""
        self._matcher.consume_token(token_id)


class CallsAfterMark:
    """Leave an answer free until a token opens calls, then hold it (request.Constraint)."""

    def __init__(self, calls: Constraint, mark_id: int) -> None:
        """Wait for the mark."""
        self._calls = calls
        self._mark_id = mark_id
        self._is_open = False

    @property
    def is_complete(self) -> bool:
        """Whether nothing can follow."""
        return self._is_open and self._calls.is_complete

    @property
    def is_free(self) -> bool:
        """Whether every token may come next."""
        return not self._is_open

    def allowed_tokens(self) -> bytes:
        """
        Return one bit per token id, the lowest first, once it is not free any more.

        Raises:
            ConstraintBroken: If the grammar became too complex on the way.
        """
        return self._calls.allowed_tokens()

    def advance(self, token_id: int) -> None:
        """Take in the token that was drawn."""
        self._is_open = self._is_open or token_id == self._mark_id
        if self._is_open:
            self._calls.advance(token_id)


def refuse_wide(schema: Schema) -> None:
    """
    Refuse an object of too many properties, wherever it lies: its masks would hold others up.

    Raises:
        BadSchema: With its place.
    """
    parts = [("", schema)]
    while parts:
        path, part = parts.pop()
        named = part.get("properties")
        if isinstance(named, dict) and len(named) > MAX_PROPERTIES:
            cause = f"{len(named):,} properties, one object may have {MAX_PROPERTIES}"
            raise BadSchema(f"{path}.properties".removeprefix("."), cause)
        parts += [(f"{path}.{name}", child) for name, child in _parts(part)]


def locate(schema: Schema, fault_of: Callable[[Schema], str | None]) -> BadSchema:
    """
    Find the smallest part of a bad schema that is bad by itself.

    The library says what is wrong but not where; each part is tried alone, with the definitions
    that it may refer to, and the search goes down into the first bad one.
    """
    shared = {key: schema[key] for key in SHARED if key in schema}
    path, probes = "", 0
    cause = fault_of(schema) or "it is too large"
    part: Schema | None = schema
    while part is not None:
        whole, part = part, None
        for name, child in _parts(whole):
            probes += 1
            fault = fault_of({**shared, **child}) if probes <= MAX_PROBES else None
            if fault is not None:
                path, cause, part = f"{path}.{name}", fault, child
                break
    return BadSchema(path.removeprefix("."), _first_line(cause))


def _parts(schema: Schema) -> Iterator[tuple[str, Schema]]:
    for keyword, held in schema.items():
        for place, child in _held(keyword, held):
            if isinstance(child, dict):
                yield f"{keyword}{place}", child


def _held(keyword: str, held: object) -> list[tuple[str, object]]:
    match held:
        case dict() if keyword in NAMED:
            return [(f".{name[:LONGEST_NAME]}", child) for name, child in held.items()]
        case list() if keyword in LISTED:
            return [(f"[{index}]", child) for index, child in enumerate(held)]
        case dict() if keyword in SINGLE:
            return [("", held)]
        case _:
            return []


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:LONGEST_CAUSE]
