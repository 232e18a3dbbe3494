"""Answers are held to JSON token by token, and a bad schema is refused with its place."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_server.engine.request import Constraint, ConstraintBroken
from model_server.text.call_grammar import Schema
from model_server.text.grammar import (
    ANY_OBJECT,
    MAX_PROPERTIES,
    BadSchema,
    Grammars,
    locate,
)
from model_server.text.tokenizer import TextTokenizer

from tests.model_server.mistral_tokenizers import write_tokenizer

END = 2
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"age": {"type": "integer"}, "tag": {"enum": ["x", "y"]}},
    "required": ["age", "tag"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def tokenizer(tiny_weights: Path) -> TextTokenizer:
    return TextTokenizer(tiny_weights, chat_template=None)


@pytest.fixture(scope="module")
def grammars(tokenizer: TextTokenizer) -> Grammars:
    return Grammars(tokenizer.to_json(), vocabulary_size=900, eos_token_ids={END})


def allowed(constraint: Constraint) -> list[int]:
    mask = int.from_bytes(constraint.allowed_tokens(), "little")
    return [token for token in range(mask.bit_length()) if mask >> token & 1]


def wander(constraint: Constraint, seed: int, most: int = 400) -> tuple[list[int], bool]:
    """Draw any allowed token until the end: nonsense, but of the right form."""
    drawing = random.Random(seed)  # noqa: S311 - a test's randomness
    tokens: list[int] = []
    while len(tokens) < most and not constraint.is_complete:
        tokens.append(drawing.choice(allowed(constraint)))
        constraint.advance(tokens[-1])
    return tokens, constraint.is_complete


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_whatever_is_drawn_is_what_the_schema_says(
    grammars: Grammars, tokenizer: TextTokenizer, seed: int
) -> None:
    tokens, complete = wander(grammars.compile_now(PERSON)(), seed)
    assert complete
    answer = json.loads(tokenizer.decode(tokens))
    assert answer.keys() == {"age", "tag"}
    assert isinstance(answer["age"], int)
    assert answer["tag"] in {"x", "y"}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_any_object_is_json(grammars: Grammars, tokenizer: TextTokenizer, seed: int) -> None:
    tokens, complete = wander(grammars.compile_now(ANY_OBJECT)(), seed)
    if complete:
        assert isinstance(json.loads(tokenizer.decode(tokens)), dict)


def test_an_answer_may_open_with_the_token_that_has_a_space(
    grammars: Grammars, tokenizer: TextTokenizer
) -> None:
    first = {tokenizer.token_bytes(token) for token in allowed(grammars.compile_now(PERSON)())}
    assert first == {b" ", b"{"}


@pytest.mark.parametrize("version", ["v1", "v3"])
def test_what_mistral_would_write_is_allowed_in_its_own_tokens(
    tmp_path: Path, version: str
) -> None:
    """The tokens are those that its tokenizer makes of the text: nothing forces rarer ones."""
    write_tokenizer(version, tmp_path)
    real = TextTokenizer(tmp_path, chat_template=None)
    grammars = Grammars(real.to_json(), vocabulary_size=32_768, eos_token_ids={END})
    make = grammars.compile_now(
        {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    )
    for text in ('{"city":"Oslo"}', '{"city": "Zürich"}', '{\n  "city": "日本 👩"\n}'):
        constraint = make()
        for token in real._encode_one(text):
            assert token in allowed(constraint)
            constraint.advance(token)
        assert END in allowed(constraint) or constraint.is_complete


def test_no_control_token_and_no_id_beyond_the_vocabulary_is_ever_allowed(
    grammars: Grammars,
) -> None:
    constraint = grammars.compile_now({"type": "string"})()
    for token in (allowed(constraint)[-1],):
        constraint.advance(token)
    inside = allowed(constraint)
    assert not {0, 1, END} & set(inside)
    assert max(inside) < 900


def test_copies_of_a_grammar_are_independent(grammars: Grammars) -> None:
    make = grammars.compile_now(PERSON)
    first, second = make(), make()
    before = allowed(second)
    wander(first, 1)
    assert allowed(second) == before


def test_a_token_that_was_not_allowed_breaks_the_grammar_at_the_next_mask(
    grammars: Grammars,
) -> None:
    constraint = grammars.compile_now(PERSON)()
    constraint.advance(END)
    assert not constraint.is_complete
    with pytest.raises(ConstraintBroken, match="the grammar of the answer failed"):
        constraint.allowed_tokens()


@pytest.mark.parametrize(
    ("schema", "path", "cause"),
    [
        ({"type": "strin"}, "", "strin"),
        ({"properties": {"a": {"type": "nix"}}}, "properties.a", "nix"),
        (
            {"type": "array", "items": {"properties": {"b": {"anyOf": [{}, {"type": "nix"}]}}}},
            "items.properties.b.anyOf[1]",
            "nix",
        ),
        ({"properties": {"a": {"type": "string", "pattern": "("}}}, "properties.a", "regex"),
        ({"properties": {"a": {"$ref": "#/$defs/gone"}}}, "properties.a", "does not exist"),
        (
            {"$defs": {"x": {"type": "nix"}}, "properties": {"a": {"$ref": "#/$defs/x"}}},
            "$defs.x",
            "nix",
        ),
        ({"not": {"type": "string"}}, "", "not"),
        ({"$ref": "#"}, "", "no text"),
        ({"$ref": "https://example.com/schema"}, "", ""),
    ],
)
def test_a_bad_schema_is_refused_with_its_place(
    grammars: Grammars, schema: dict[str, Any], path: str, cause: str
) -> None:
    with pytest.raises(BadSchema) as refused:
        grammars.compile_now(schema)
    assert refused.value.path == path
    assert cause in refused.value.cause
    assert len(str(refused.value)) < 400


def test_the_search_for_the_fault_is_bounded() -> None:
    tried = 0

    def fault_of(_schema: dict[str, Any]) -> str | None:
        nonlocal tried
        tried += 1
        return "too much" if tried == 1 else None

    schema: dict[str, Any] = {"properties": {f"p{i}": {} for i in range(10_000)}}
    assert str(locate(schema, fault_of)) == "too much"
    assert tried <= 101


@pytest.mark.parametrize(
    ("around", "path"),
    [
        (lambda wide: wide, "properties"),
        (lambda wide: {"properties": {"a": {"items": wide}}}, "properties.a.items.properties"),
        (lambda wide: {"$defs": {"w": {"anyOf": [True, wide]}}}, "$defs.w.anyOf[1].properties"),
    ],
)
def test_an_object_of_too_many_properties_is_refused_with_its_place(
    grammars: Grammars, around: Callable[[Schema], Schema], path: str
) -> None:
    def of(count: int) -> Schema:
        names = {f"p{i}": {"type": "string"} for i in range(count)}
        return around({"type": "object", "properties": names})

    with pytest.raises(BadSchema) as caught:
        grammars.compile_now(of(MAX_PROPERTIES + 1))
    assert caught.value.path == path
    assert caught.value.cause == "257 properties, one object may have 256"
    grammars.compile_now(of(MAX_PROPERTIES))


def test_the_widest_object_there_may_be_is_answered(grammars: Grammars) -> None:
    names = {f"p{i}": {"type": "boolean"} for i in range(MAX_PROPERTIES)}
    schema = {"type": "object", "properties": names, "additionalProperties": False}
    _, complete = wander(grammars.compile_now(schema)(), seed=1, most=20_000)
    assert complete


async def test_a_schema_that_takes_too_long_is_given_up(
    grammars: Grammars, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_server.text.grammar.COMPILE_SECONDS", 0.0)
    with pytest.raises(BadSchema, match="longer than 0 s"):
        await grammars.compile(PERSON)
