"""
Turn the form that an answer must have into what holds the engine to it.

Must not import torch or transformers.
"""

from collections.abc import Callable

from model_server import errors
from model_server.grammar import ANY_OBJECT, BadSchema
from model_server.protocol import GenerationFields
from model_server.request import Constraint
from model_server.service import Grammars

FIELD = "response_format"


async def constraint_of(
    grammars: Grammars | None, asked: GenerationFields
) -> Callable[[], Constraint | None]:
    """
    Return what makes the constraint of each answer; of free text it makes none.

    Raises:
        ApiError: 400 with the place in the schema that is wrong, 422 where the form does not go
            with the rest of the request.
    """
    wanted = asked.response_format
    if wanted is None or wanted.type == "text":
        return lambda: None
    if grammars is None:
        raise errors.invalid_value(FIELD, f"{FIELD}: this server answers free text only")
    if asked.min_tokens:
        message = f"min_tokens: a {FIELD} says itself where the answer ends; leave one of them out"
        raise errors.invalid_value("min_tokens", message)
    schema, place = ANY_OBJECT, FIELD
    if wanted.json_schema is not None:
        schema, place = wanted.json_schema.definition, f"{FIELD}.json_schema.schema"
    try:
        return await grammars.compile(schema)
    except BadSchema as error:
        place = f"{place}.{error.path}" if error.path else place
        raise errors.invalid_value(place, f"{place}: {error.cause}", status=400) from None
