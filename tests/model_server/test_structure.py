"""What an answer is held to is what the request says, to the letter."""

from collections.abc import Callable
from typing import Any

import pytest
from model_server.api.protocol import ChatRequest, parse
from model_server.api.structure import constraint_of
from model_server.engine.request import Constraint
from model_server.text.call_grammar import CallRules
from model_server.text.grammar import ANY_OBJECT
from pydantic_core import to_json


class Compiled(Exception):
    """Carry the schema that was to be compiled."""


class Telling:
    """Tell what would be compiled."""

    async def compile(self, schema: dict[str, Any]) -> Callable[[], Constraint]:
        raise Compiled(schema)

    async def compile_calls(self, rules: CallRules) -> Callable[[], Constraint]:
        raise Compiled(rules)


def asking(response_format: dict[str, Any]) -> ChatRequest:
    messages = [{"role": "user", "content": "x"}]
    return parse(ChatRequest, to_json({"messages": messages, "response_format": response_format}))


@pytest.mark.parametrize("schema", [{}, {"type": "string"}, {"type": "object", "properties": {}}])
async def test_a_schema_is_compiled_as_it_is(schema: dict[str, Any]) -> None:
    asked = asking({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    with pytest.raises(Compiled) as told:
        await constraint_of(Telling(), asked)
    assert told.value.args == (schema,)


async def test_json_mode_is_any_object() -> None:
    with pytest.raises(Compiled) as told:
        await constraint_of(Telling(), asking({"type": "json_object"}))
    assert told.value.args == (ANY_OBJECT,)
