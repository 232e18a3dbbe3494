"""
Parse what a caller sent into a request that needs no second look, or refuse it by field and reason.

The fields are OpenAI's. Three kinds of them:

    done        the server does what the field says (drawing: sampling_fields.py)
    no-op       only the value that changes nothing is accepted (`store: false`)
    unknown     refused with its name: a caller who hopes for an effect is told that there is none

Bounds are here, so that no number or list from outside grows without limit. No message repeats the
input.

Must not import torch, transformers, or anything that answers requests.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import (
    BeforeValidator,
    FailFast,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from model_server.api.errors import ApiError, Problem, invalid_value, unknown_field
from model_server.api.response_format import ResponseFormat
from model_server.api.sampling_fields import MAX_INTEGER, MAX_TOP_LOGPROBS, SamplingFields
from model_server.api.strict_body import NO_FUNCTIONS, NO_GAPS, Strict, only
from model_server.api.tool_request import ToolCalls, ToolFields

MAX_NAME_CHARACTERS = 64  # of a field's name in a message
# The event loop serves everyone, and writing faults down takes longer than finding them: 660,000 in
# a body of a megabyte took 2 s. So a list is left at its first fault, and crowds are only counted.
MAX_FAULTS = 100


def _content_of(value: object, info: ValidationInfo) -> object:
    """Join a list of text parts, OpenAI's other form of content; an assistant may only call."""
    if value is None and info.data.get("tool_calls"):
        return ""
    if value is None:
        raise PydanticCustomError("missing", "this field is required")
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(_is_text_part(part) for part in value):
        return "".join(part["text"] for part in value)
    raise PydanticCustomError(
        "content", 'must be a string, or a list of {"type": "text", "text": ...} parts'
    )


def _is_text_part(part: object) -> bool:
    return (
        isinstance(part, dict)
        and part.keys() == {"type", "text"}
        and part["type"] == "text"
        and isinstance(part["text"], str)
    )


def _prompt_of(value: object) -> object:
    """Accept a text, a list with one text, or token ids."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    if isinstance(value, list | tuple) and value and all(type(i) is int and i >= 0 for i in value):
        return tuple(value)
    if isinstance(value, str):
        return value
    raise PydanticCustomError(
        "prompt", "must be a string, a list of one string, or a list of token ids"
    )


class Message(Strict):
    """Hold one turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    tool_calls: ToolCalls = None  # of an assistant
    tool_call_id: str | None = Field(default=None, max_length=64, validate_default=True)
    name: str | None = None  # of a tool; its call says it already
    content: Annotated[str, BeforeValidator(_content_of)] = Field(
        default=cast("str", None), validate_default=True
    )
    # What clients send back when they repeat an answer of an assistant.
    refusal: Annotated[None, only([])] = None
    audio: Annotated[None, only([])] = None
    function_call: Annotated[None, only([], NO_FUNCTIONS)] = None
    annotations: Annotated[list[object] | None, only([[]])] = None

    @field_validator("tool_calls")
    @classmethod
    def _come_from_an_assistant(cls, value: ToolCalls, info: ValidationInfo) -> ToolCalls:
        if value and info.data.get("role") != "assistant":
            raise PydanticCustomError("tool_calls", "only a message of role assistant has calls")
        return value

    @field_validator("tool_call_id")
    @classmethod
    def _belongs_to_a_result(cls, value: str | None, info: ValidationInfo) -> str | None:
        is_result = info.data.get("role") == "tool"
        if is_result and not value:
            raise PydanticCustomError("missing", "this field is required")
        if value is not None and not is_result:
            raise PydanticCustomError("tool_call_id", "only a message of role tool has it")
        return value

    @field_validator("name")
    @classmethod
    def _names_a_tool(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("role") != "tool":
            raise PydanticCustomError("extra_forbidden", "this server knows no such field")
        return value

    def turn(self) -> dict[str, Any]:
        """Return it as templates read it."""
        # "developer" is the newer name of the same role.
        role = "system" if self.role == "developer" else self.role
        turn: dict[str, Any] = {"role": role, "content": self.content}
        if self.tool_calls:
            turn["tool_calls"] = [call.shown() for call in self.tool_calls]
        if self.tool_call_id is not None:
            turn["tool_call_id"] = self.tool_call_id
        return turn


class StreamOptions(Strict):
    """Say what a stream carries beside text."""

    include_usage: bool = False
    include_obfuscation: Annotated[bool | None, only([False])] = None


class GenerationFields(SamplingFields):
    """Hold what both kinds of requests share."""

    model: str | None = Field(default=None, max_length=256)
    response_format: ResponseFormat | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None  # names the caller's caller; nothing here depends on it

    @property
    def wants_usage(self) -> bool:
        """Tell whether the last chunk of a stream carries the counts of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(GenerationFields, ToolFields):
    """Ask for the next turn of a conversation."""

    messages: Annotated[list[Message], Field(min_length=1), FailFast()]
    max_completion_tokens: int | None = Field(default=None, ge=1, le=MAX_INTEGER)

    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS)
    modalities: Annotated[list[str] | None, only([["text"]])] = None
    functions: Annotated[list[object] | None, only([[]], NO_FUNCTIONS)] = None
    function_call: Annotated[str | None, only(["none"], NO_FUNCTIONS)] = None
    service_tier: Annotated[str | None, only(["auto", "default"])] = None
    store: Annotated[bool | None, only([False])] = None
    metadata: Annotated[dict[str, str] | None, only([{}])] = None
    audio: Annotated[None, only([])] = None
    prediction: Annotated[None, only([])] = None
    reasoning_effort: Annotated[None, only([])] = None
    verbosity: Annotated[None, only([])] = None
    web_search_options: Annotated[None, only([])] = None

    @field_validator("top_logprobs")
    @classmethod
    def _has_an_effect(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value and not info.data.get("logprobs"):
            raise PydanticCustomError("top_logprobs", "has no effect without logprobs: true")
        return value

    @property
    def shown_logprobs(self) -> int | None:
        """Return how many of the likeliest tokens are shown beside the drawn one, if any."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def answer_limit(self) -> int | None:
        """Return the most tokens of an answer; the newer of the two names wins."""
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(GenerationFields):
    """Ask for the continuation of a text."""

    prompt: Annotated[str | tuple[int, ...], BeforeValidator(_prompt_of)]
    echo: bool | None = None

    best_of: Annotated[int | None, only([1])] = None
    logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS)
    suffix: Annotated[str | None, only([""], NO_GAPS)] = None

    @property
    def shown_logprobs(self) -> int | None:
        """Return how many of the likeliest tokens are shown beside the drawn one, if any."""
        return self.logprobs

    @property
    def answer_limit(self) -> int:
        """Return the most tokens of an answer; 16 is the API's own default."""
        return self.max_tokens or 16


Body = TypeVar("Body", bound=Strict)


def parse(kind: type[Body], body: bytes) -> Body:
    """
    Read the body of a request.

    Raises:
        ApiError: 400 for what is not JSON, 422 for a field that is unknown, missing or wrong.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        if (count := error.error_count()) > MAX_FAULTS:
            message = f"the request body: {count:,} fields are unknown or wrong"
            raise invalid_value(None, message) from None
        first = error.errors(include_url=False, include_input=False, include_context=True)[0]
        raise _refusal(first) from None


def _refusal(error: ErrorDetails) -> ApiError:
    param = _path(error["loc"])
    match error["type"]:
        case "json_invalid":
            return ApiError(
                Problem(status=400, message="the request body is not JSON", code="invalid_json")
            )
        case "extra_forbidden":
            return unknown_field(param)
        case "missing":
            return invalid_value(param, f"{param}: this field is required")
        case _:
            message = error["msg"][:1].lower() + error["msg"][1:]
            name = param or "the request body"
            return invalid_value(param or None, f"{name}: {message}")


def _path(location: Sequence[int | str]) -> str:
    """Write a location as people do: messages[0].content."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part[:MAX_NAME_CHARACTERS]}"
    return path.removeprefix(".")
