"""
Parse what a request says about tools: what may be called, whether it must be, what was called.

Bounds are those of the API, and of the schemas that answers are held to. No message repeats the
input.

Must not import torch, transformers, or anything that answers requests.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    FailFast,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError, from_json

from model_server.api.strict_body import Strict

MAX_TOOLS = 128
MAX_CALLS = 128  # of one message
MAX_ID_CHARACTERS = 64
NAME = r"^[a-zA-Z0-9_-]{1,64}$"
NO_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {},
    "additionalProperties": False,
}
Choice = Literal["none", "auto", "required"]

Name = Annotated[str, Field(pattern=NAME)]


class FunctionDefinition(Strict):
    """Describe a function; arguments are held to its schema whether `strict` is set or not."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    @field_validator("parameters")
    @classmethod
    def _describe_an_object(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value and value.get("type", "object") != "object":
            raise PydanticCustomError(
                "parameters", 'must be the schema of an object ("type": "object")'
            )
        return value

    @property
    def schema_of_arguments(self) -> dict[str, Any]:
        """Return what arguments must be; without parameters there are none."""
        return {"type": "object", **self.parameters} if self.parameters else NO_PARAMETERS


class ToolDefinition(Strict):
    """Offer a function to the model."""

    type: Literal["function"]
    function: FunctionDefinition

    def shown(self) -> dict[str, Any]:
        """Return it as templates read it, in the order in which Mistral's models learned it."""
        function = {
            "name": self.function.name,
            "description": self.function.description or "",
            "parameters": self.function.parameters or {},
        }
        return {"type": "function", "function": function}


class FunctionName(Strict):
    """Name a function."""

    name: Name


class NamedTool(Strict):
    """Ask for a call of one function."""

    type: Literal["function"]
    function: FunctionName


def _choice_of(value: object) -> object:
    """Accept a word, or the name of a function."""
    if value is None or value in ("none", "auto", "required"):
        return value
    try:
        return NamedTool.model_validate(value)
    except ValidationError:
        raise PydanticCustomError(
            "tool_choice",
            'must be "none", "auto", "required" or {"type": "function", "function": {"name": ...}}',
        ) from None


def _tools_of(tools: list[ToolDefinition] | None) -> list[ToolDefinition] | None:
    names = [tool.function.name for tool in tools or ()]
    if len(set(names)) < len(names):
        raise PydanticCustomError("tools", "two functions have the same name; rename one")
    return tools


Tools = Annotated[
    list[ToolDefinition] | None,
    Field(max_length=MAX_TOOLS),
    FailFast(),
    AfterValidator(_tools_of),
]
ToolChoice = Annotated[Choice | NamedTool | None, BeforeValidator(_choice_of)]


class CalledFunction(Strict):
    """Repeat a function that was called, and its arguments as JSON in a text."""

    name: Name
    arguments: str

    @field_validator("arguments")
    @classmethod
    def _hold_an_object(cls, value: str) -> str:
        try:
            held = from_json(value or "{}")
        except ValueError:
            held = None
        if not isinstance(held, dict):
            raise PydanticCustomError("arguments", "must be a JSON object, written as a string")
        return value


class ToolCall(Strict):
    """Repeat a call that an assistant made."""

    id: str = Field(min_length=1, max_length=MAX_ID_CHARACTERS)
    type: Literal["function"]
    function: CalledFunction

    def shown(self) -> dict[str, Any]:
        """Return it as templates read it: the arguments as the object that they are."""
        arguments = from_json(self.function.arguments or "{}")
        function = {"name": self.function.name, "arguments": arguments}
        return {"id": self.id, "type": "function", "function": function}


ToolCalls = Annotated[list[ToolCall] | None, Field(max_length=MAX_CALLS), FailFast()]


class ToolFields(Strict):
    """Hold what a chat says about tools."""

    tools: Tools = None
    tool_choice: ToolChoice = None
    parallel_tool_calls: bool | None = None

    @property
    def offered(self) -> list[ToolDefinition]:
        """Return the tools that the model is told of: with the choice `none` it is told of none."""
        return [] if self.tool_choice == "none" else (self.tools or [])

    @property
    def callable(self) -> list[tuple[int, FunctionDefinition]]:
        """Return what may be called, each with its number in the request."""
        wanted = self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else None
        return [
            (number, tool.function)
            for number, tool in enumerate(self.offered)
            if wanted in (None, tool.function.name)
        ]

    @field_validator("tool_choice")
    @classmethod
    def _has_something_to_choose(cls, value: ToolChoice, info: ValidationInfo) -> ToolChoice:
        tools: list[ToolDefinition] = info.data.get("tools") or []
        if value not in (None, "none") and not tools:
            raise PydanticCustomError("tool_choice", "has no effect without tools; leave it out")
        if isinstance(value, NamedTool):
            names = {tool.function.name for tool in tools}
            if value.function.name not in names:
                raise PydanticCustomError("tool_choice", "names a function that is not in tools")
        return value
