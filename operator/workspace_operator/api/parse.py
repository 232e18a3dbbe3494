"""
Turn an object of the API server into a Workspace, or say which field is wrong and what to write.

Invariant: whatever is stored, the answer is a ``Workspace`` or an ``InvalidSpec``, never another
error: an object may be older than a rule of the CustomResourceDefinition. A status that cannot be
read never hides the spec: what cannot be read of it is left out, for the operator writes it anew.
Must not import kopf, kubernetes, asyncio, os or time.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from workspace_operator.api.rules import violations
from workspace_operator.api.status import WorkspaceStatus
from workspace_operator.api.workspace import Workspace

_METADATA = {
    "name": "name",
    "namespace": "namespace",
    "uid": "uid",
    "generation": "generation",
    "resourceVersion": "resourceVersion",
    "creationTimestamp": "creationTimestamp",
    "deletionTimestamp": "deletionTimestamp",
    "finalizers": "finalizers",
    "annotations": "annotations",
    "labels": "labels",
}
_TOP_LEVEL = ("apiVersion", "resource", "inference", "tuning")
_SHOWN_LENGTH = 60

_REMEDIES = {
    "missing": "missing: this field is required",
    "int_type": "write a whole number without quotes",
    "string_type": "write text; put a number or true and false in quotes",
    "tuple_type": "write a list",
    "dict_type": "write a map of keys and values",
    "model_type": "write a map of keys and values",
    "model_attributes_type": "write a map of keys and values",
}


class InvalidSpec(Exception):
    """
    Tell that a Workspace cannot be acted on as it is written.

    Attributes:
        path: the field, such as ``resource.count``.
        why: the value and the remedy in one sentence.
    """

    def __init__(self, path: str, why: str) -> None:
        """Keep the field and the reason."""
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


def parse(body: Mapping[str, Any]) -> Workspace:
    """
    Parse the body of a Workspace as the API server gave it, in either version.

    Raises:
        InvalidSpec: a field has the wrong type, or a static rule is broken.
    """
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping):
        raise InvalidSpec("metadata", "missing: write metadata.name")
    fields = {key: body[key] for key in _TOP_LEVEL if key in body}
    fields |= {field: metadata[key] for key, field in _METADATA.items() if key in metadata}
    fields["status"] = parse_status(body.get("status"))
    try:
        workspace = Workspace.model_validate(fields)
    except ValidationError as error:
        raise _first_error(error) from None
    broken = next(violations(workspace), None)
    if broken is not None:
        raise InvalidSpec(broken.path, broken.why)
    return workspace


def parse_status(status: object) -> WorkspaceStatus:
    """Read a stored status; leave out each key, or item of a list, that cannot be read."""
    if not isinstance(status, Mapping):
        return WorkspaceStatus()
    try:
        return WorkspaceStatus.model_validate(status)
    except ValidationError as error:
        unreadable = {_location(each["loc"]) for each in error.errors(include_url=False)}
    kept: dict[str, Any] = {}
    for key, value in status.items():
        if (key, None) in unreadable:
            continue
        kept[key] = value
        if isinstance(value, list | tuple):
            kept[key] = [item for index, item in enumerate(value) if (key, index) not in unreadable]
    return WorkspaceStatus.model_validate(kept)


def _location(location: tuple[str | int, ...]) -> tuple[str, int | None]:
    """Cut the place of an error to the key of the status, and the item of a list below it."""
    key = str(location[0])
    item = location[1] if len(location) > 1 else None
    return key, item if isinstance(item, int) else None


def _first_error(error: ValidationError) -> InvalidSpec:
    first = error.errors(include_url=False)[0]
    remedy = _REMEDIES.get(first["type"]) or first["msg"][:1].lower() + first["msg"][1:]
    path = _path(first["loc"])
    if first["type"] == "missing":
        return InvalidSpec(path, remedy)
    shown = repr(first["input"])
    if len(shown) > _SHOWN_LENGTH:
        shown = shown[:_SHOWN_LENGTH] + "…"
    return InvalidSpec(path, f"{shown} is not accepted: {remedy}")


def _path(location: tuple[str | int, ...]) -> str:
    """Write a place as Kubernetes does: ``inference.adapters[0].strength``."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    path = "".join(parts).removeprefix(".")
    return f"metadata.{path}" if path.split(".")[0].split("[")[0] in _METADATA else path
