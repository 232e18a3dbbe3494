"""
Turn the form that an answer must have into what holds the engine to it.

Calls of tools are held to the tools' schemas; beside them `response_format` is about the answers
that call nothing.

Must not import torch or transformers.
"""

from collections.abc import Callable

from model_server.api import errors
from model_server.api.protocol import ChatRequest, GenerationFields
from model_server.api.response_format import ResponseFormat
from model_server.api.service import Grammars
from model_server.api.tool_request import NamedTool
from model_server.engine.request import Constraint
from model_server.text.call_grammar import MAX_CALLS, CallableFunction, CallRules, Schema
from model_server.text.grammar import ANY_OBJECT, BadSchema
from model_server.text.tool_form import ToolForm

FIELD = "response_format"


async def constraint_of(
    grammars: Grammars | None, asked: GenerationFields, form: ToolForm | None = None
) -> Callable[[], Constraint | None]:
    """
    Return what makes the constraint of each answer; of free text it makes none.

    Args:
        grammars: What compiles; None where every answer is free.
        asked: The request.
        form: How the model calls tools, where it was told of some.

    Raises:
        ApiError: 400 with the place in the schema that is wrong, 422 where the form does not go
            with the rest of the request.
    """
    rules = _rules(asked, form) if isinstance(asked, ChatRequest) and form is not None else None
    schema, place = _answer(asked.response_format)
    if rules is None and schema is None:
        return lambda: None
    field, place = (FIELD, place) if rules is None else ("tools", "")
    if grammars is None:
        raise errors.invalid_value(field, f"{field}: this server answers free text only")
    if asked.min_tokens:
        cause = f"{field} and the model say where the answer ends; leave one of them out"
        raise errors.invalid_value("min_tokens", f"min_tokens: {cause}")
    try:
        if rules is not None:
            return await grammars.compile_calls(rules)
        # `{}` is a schema too, of any JSON.
        return await grammars.compile(ANY_OBJECT if schema is None else schema)
    except BadSchema as error:
        place = ".".join(filter(None, (place, error.path))) or field
        raise errors.invalid_value(place, f"{place}: {error.cause}", status=400) from None


def _rules(asked: ChatRequest, form: ToolForm) -> CallRules:
    schema, place = _answer(asked.response_format)
    functions = tuple(
        CallableFunction(
            name=function.name,
            schema=function.schema_of_arguments,
            place=f"tools[{number}].function.parameters",
        )
        for number, function in asked.callable
    )
    one = asked.parallel_tool_calls is False or isinstance(asked.tool_choice, NamedTool)
    return CallRules(
        form=form,
        functions=functions,
        most=1 if one else MAX_CALLS,
        may_answer=asked.tool_choice in (None, "auto"),
        answer=schema,
        answer_place=place,
    )


def _answer(wanted: ResponseFormat | None) -> tuple[Schema | None, str]:
    """Return the schema of an answer in text, and its place in the request."""
    if wanted is None or wanted.type == "text":
        return None, ""
    if wanted.json_schema is None:
        return ANY_OBJECT, FIELD
    return wanted.json_schema.definition, f"{FIELD}.json_schema.schema"
