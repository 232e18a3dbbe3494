"""Calls are held to their tools' schemas, in the tokens that Mistral's models write."""

import json
import random
from typing import Any

import jsonschema_rs
import pytest
from model_server.engine.request import Constraint
from model_server.text.call_grammar import CallableFunction, CallRules, Schema
from model_server.text.call_reader import CallReader
from model_server.text.grammar import BadSchema, Grammars
from model_server.text.tokenizer import TextTokenizer
from model_server.text.tool_form import Style, ToolForm

from tests.model_server.mistral_tokenizers import write_tokenizer

END = 2
MISTRAL = ToolForm(style=Style.MISTRAL, mark="[TOOL_CALLS]", mark_id=5)
HERMES = ToolForm(style=Style.HERMES, mark="<tool_call>", mark_id=None)
SIZE: Schema = {
    "type": "object",
    "properties": {"wide": {"$ref": "#/$defs/flag"}, "of": {"enum": ['"', "{"]}},
    "required": ["wide", "of"],
    "additionalProperties": False,
    "$defs": {"flag": {"type": "boolean"}},
}
NOTHING: Schema = {"type": "object", "properties": {}, "additionalProperties": False}
SCHEMAS = {"size": SIZE, "now": NOTHING}
CALLS = [
    '[{"name": "size", "arguments": {"wide": true, "of": "{"}}]',
    '[{"name":"now","arguments":{}}, {"name": "now", "arguments": {}}]',
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    directory = tmp_path_factory.mktemp("v3-grammar")
    write_tokenizer("v3", directory)
    return TextTokenizer(directory, chat_template=None)


@pytest.fixture(scope="module")
def grammars(tokenizer: TextTokenizer) -> Grammars:
    return Grammars(tokenizer.to_json(), vocabulary_size=32_768, eos_token_ids={END})


def rules(form: ToolForm = MISTRAL, **fields: Any) -> CallRules:  # noqa: ANN401 - of a dataclass
    functions = tuple(
        CallableFunction(name=name, schema=schema, place=f"tools[{number}].function.parameters")
        for number, (name, schema) in enumerate(SCHEMAS.items())
    )
    return CallRules(**{"form": form, "functions": functions, "may_answer": False, **fields})


def is_allowed(constraint: Constraint, token: int) -> bool:
    if constraint.is_free:
        return True
    mask = constraint.allowed_tokens()
    return bool(mask[token // 8] >> token % 8 & 1)


def follow(constraint: Constraint, tokens: list[int]) -> None:
    for token in tokens:
        assert is_allowed(constraint, token)
        constraint.advance(token)


@pytest.mark.parametrize("text", CALLS)
def test_what_mistral_would_write_is_allowed_in_its_own_tokens(
    grammars: Grammars, tokenizer: TextTokenizer, text: str
) -> None:
    constraint = grammars.compile_calls_now(rules())()
    assert not is_allowed(constraint, tokenizer._encode_one("Hi")[0])
    follow(constraint, [5, *tokenizer._encode_one(text)])
    assert constraint.is_complete


def test_any_token_may_come_until_the_mark(grammars: Grammars, tokenizer: TextTokenizer) -> None:
    constraint = grammars.compile_calls_now(rules(may_answer=True))()
    follow(constraint, [*tokenizer._encode_one("[{} Well"), END, 0, 32_767, 5])
    assert not is_allowed(constraint, END)
    follow(constraint, tokenizer._encode_one(CALLS[0]))
    assert constraint.is_complete


def test_an_answer_of_its_own_form_may_come_instead(
    grammars: Grammars, tokenizer: TextTokenizer
) -> None:
    held: dict[str, Any] = {
        "may_answer": True,
        "answer": {"type": "boolean"},
        "answer_place": "response_format",
    }
    make = grammars.compile_calls_now(rules(**held))
    for tokens in (tokenizer._encode_one("true"), [5, *tokenizer._encode_one(CALLS[0])]):
        constraint = make()
        follow(constraint, tokens)
        assert constraint.is_complete
    assert not is_allowed(make(), tokenizer._encode_one("Well")[0])


def test_a_mark_that_is_text_opens_calls_in_the_midst_of_it(
    grammars: Grammars, tokenizer: TextTokenizer
) -> None:
    call = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
    free = grammars.compile_calls_now(rules(HERMES, may_answer=True))
    follow(free(), [*tokenizer._encode_one("a < b and <tool"), END])
    follow(free(), [*tokenizer._encode_one(f"Well. {call}\n{call}"), END])
    held = free()
    follow(held, tokenizer._encode_one("Well. <tool_call>\n"))
    assert not is_allowed(held, END)
    assert not is_allowed(held, tokenizer._encode_one("x")[0])
    follow(grammars.compile_calls_now(rules(HERMES))(), [*tokenizer._encode_one(call), END])


@pytest.mark.parametrize("form", [MISTRAL, HERMES])
@pytest.mark.parametrize("most", [1, 3])
def test_whatever_is_drawn_is_what_the_schemas_say(
    grammars: Grammars, tokenizer: TextTokenizer, form: ToolForm, most: int
) -> None:
    make = grammars.compile_calls_now(rules(form, most=most))
    for seed in range(5):
        drawing = random.Random(seed)  # noqa: S311 - a test's randomness
        constraint, tokens = make(), list[int]()
        while not constraint.is_complete and END not in tokens:
            mask = int.from_bytes(constraint.allowed_tokens(), "little")
            some = [token for token in range(mask.bit_length()) if mask >> token & 1]
            tokens.append(drawing.choice(some))
            constraint.advance(tokens[-1])
        reader = CallReader(lambda: "x")
        pieces = reader.push(tokenizer.decode(tokens))
        assert reader.has_whole_calls
        assert 1 <= len(pieces) <= most
        for piece in pieces:
            jsonschema_rs.validate(SCHEMAS[piece.name or ""], json.loads(piece.arguments))


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"properties": {"a": {"type": "nix"}}}, "tools[0].function.parameters.properties.a"),
        ({"$ref": "#"}, "tools[0].function.parameters"),
    ],
)
def test_a_bad_schema_is_refused_with_its_place_in_the_request(
    grammars: Grammars, schema: Schema, path: str
) -> None:
    function = CallableFunction(name="f", schema=schema, place="tools[0].function.parameters")
    with pytest.raises(BadSchema) as refused:
        grammars.compile_calls_now(rules(functions=(function,)))
    assert refused.value.path == path
    with pytest.raises(BadSchema) as refused:
        grammars.compile_calls_now(rules(may_answer=True, answer=schema, answer_place=path))
    assert refused.value.path.startswith(path)
