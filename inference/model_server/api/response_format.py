"""
Parse the form that an answer must have: any text, a JSON object, or what a JSON schema describes.

Must not import torch, transformers, or anything that answers requests.
"""

from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from model_server.api.strict_body import Strict

MAX_NAME_CHARACTERS = 64


class JsonSchema(Strict):
    """Name a schema; what it says is held to whether `strict` is set or not."""

    name: str = Field(max_length=MAX_NAME_CHARACTERS)
    description: str | None = None
    definition: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(Strict):
    """Say what an answer must be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _schema_goes_with_its_type(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise PydanticCustomError(
                "response_format", "json_schema must be there with type json_schema, and only then"
            )
        return self
