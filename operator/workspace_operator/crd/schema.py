"""
Turn the JSON schema that pydantic writes into a structural schema of Kubernetes.

A structural schema has no references, no ``anyOf`` for null and no titles; a map of anything is
marked as such, and defaults stand only where the API promises them.
Source: Kubernetes documentation, "Extend the Kubernetes API with CustomResourceDefinitions".
Invariant: pure; what this file does not know raises instead of being left out silently.
"""

from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

_COPIED = frozenset(
    {
        "description",
        "enum",
        "format",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "pattern",
        "type",
    }
)
_HANDLED = frozenset(
    {"$defs", "$ref", "additionalProperties", "anyOf", "default", "items", "properties", "required"}
)
_DROPPED = frozenset({"title"})


def structural(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """
    Give the structural schema of one JSON schema.

    Raises:
        ValueError: the schema has a keyword that Kubernetes would not understand.
    """
    schema = _resolved(schema, definitions)
    unknown = schema.keys() - _COPIED - _HANDLED - _DROPPED
    if unknown:
        raise ValueError(f"no rule to translate {sorted(unknown)} in {schema}")
    result = {key: value for key, value in schema.items() if key in _COPIED}
    if result.get("type") == "integer":
        result["format"] = "int64"
    if schema.get("default") not in (None, "", [], {}):
        result["default"] = schema["default"]
    if schema.get("required"):
        result["required"] = sorted(schema["required"])
    return result | _inner(schema, definitions)


def _inner(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Translate what a schema holds below it."""
    inner: Schema = {}
    if "properties" in schema:
        inner["properties"] = {
            name: structural(each, definitions) for name, each in schema["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            inner[key] = structural(schema[key], definitions)
    if schema.get("additionalProperties") is True:
        inner["x-kubernetes-preserve-unknown-fields"] = True
    return inner


def _resolved(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """
    Follow references, and take the one alternative that is not null.

    What stands beside the reference (a description of the field) wins over what stands behind it (a
    description of the type).
    """
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[-1]]
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return _resolved(target | beside, definitions)
    if "anyOf" in schema:
        (one,) = [each for each in schema["anyOf"] if each.get("type") != "null"]
        beside = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
        return _resolved(one | beside, definitions)
    return schema


def at(schema: Schema, path: str) -> Schema:
    """
    Find the schema of a field: ``inference.adapters[].source``; the empty path is the object.

    Raises:
        KeyError: there is no such field.
    """
    for step in filter(None, path.split(".")):
        name = step.removesuffix("[]")
        schema = schema["properties"][name]
        if step != name:
            schema = schema["items"]
    return schema


def walk(schema: Schema, visit: Callable[[Schema], None]) -> None:
    """Call ``visit`` with a schema and every schema below it."""
    visit(schema)
    for each in schema.get("properties", {}).values():
        walk(each, visit)
    for key in ("items", "additionalProperties"):
        if key in schema:
            walk(schema[key], visit)
