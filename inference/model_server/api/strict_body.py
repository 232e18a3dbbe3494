"""
Give the bodies of requests their common rules.

Types are strict, no field is unknown, and a field of OpenAI's API that is not built says so.

Must not import torch, transformers, or anything that answers requests.
"""

from collections.abc import Sequence

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

NOTHING: tuple[object, ...] = (None, "", [], {})  # best said by leaving the field out
NOT_BUILT = "not supported by this server"
NO_GAPS = "this model continues a text and fills no gaps"
NO_FUNCTIONS = "tools and tool_choice have taken its place"


def only(
    accepted: Sequence[object], reason: str = "not supported by this server"
) -> BeforeValidator:
    """Accept the values that change nothing, refuse all others of a field that is not built."""
    choices = " or ".join(_json_word(value) for value in accepted if value not in NOTHING)

    def check(value: object) -> object:
        if any(type(value) is type(a) and value == a for a in (None, *accepted)):
            return value
        hint = f"only {choices} is accepted" if choices else "leave it out"
        raise PydanticCustomError(
            "not_supported", "{reason}; {hint}", {"reason": reason, "hint": hint}
        )

    return BeforeValidator(check)


def _json_word(value: object) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


class Strict(BaseModel):
    """Refuse unknown fields and values of another type than the one that is asked for."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
