"""
The base of every API model: frozen, camelCase outside, snake_case inside, tolerant of strangers.

Invariant: what an object of the API server may hold and a model does not know is left out, and an
explicit null is the same as an absent field; a value of the wrong type is an error, never a guess.
Must not import kopf, kubernetes, asyncio, os or time.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)
from pydantic.alias_generators import to_camel


def _whole_second(moment: datetime) -> datetime:
    """Cut a moment to the whole second in UTC, which is all that the Kubernetes API keeps."""
    return moment.astimezone(UTC).replace(microsecond=0)


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


Timestamp = Annotated[
    AwareDatetime,
    AfterValidator(_whole_second),
    PlainSerializer(_rfc3339, return_type=str),
]
"""
A moment as metav1.Time writes it; comparing one just made with one read back never differs by
microseconds.
"""

Integer = Annotated[int, Field(strict=True)]
"""
A whole number that is one: neither "3" nor 3.0 nor true.
"""


class Model(BaseModel):
    """Be the base of the API models; see the module's invariant."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        frozen=True,
        extra="ignore",
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:  # noqa: ANN401 (whatever the API server stored)
        if isinstance(data, Mapping):
            return {key: value for key, value in data.items() if value is not None}
        return data

    def to_manifest(self) -> dict[str, Any]:
        """Give the JSON object of the Kubernetes API: camelCase, without what is unset or empty."""
        whole = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        given: dict[str, Any] = _without_empty_lists(whole)
        return given


def _without_empty_lists(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Leave out lists without items: kubectl would show each as a key of nothing."""
    if isinstance(value, dict):
        return {key: _without_empty_lists(each) for key, each in value.items() if each != []}
    if isinstance(value, list):
        return [_without_empty_lists(each) for each in value]
    return value
