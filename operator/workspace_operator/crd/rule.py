"""
The shape of a CEL rule, and the phrases that rules share.

Invariant: pure text; ``rules`` holds the rules themselves. Must not import anything.
"""

import re
from dataclasses import dataclass

Schema = dict[str, object]

INVALID = "FieldValueInvalid"
REQUIRED = "FieldValueRequired"
FORBIDDEN = "FieldValueForbidden"

OPAQUE = frozenset({"", "inference", "tuning", "tuning.input", "tuning.output"})
"""
Values that the API server never takes for unchanged: the object, whose status and metadata move,
and what holds a pod template or a volume, which have no schema to compare by.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    One rule, where it stands, and what a user reads who breaks it.

    Attributes:
        path: the value that ``self`` is, as ``schema.at`` reads it; the empty path is the object.
        cel: the expression that must hold.
        message: KAITO's wording and the remedy; ``{}`` is where the offending value goes.
        value: CEL that gives the offending value as text.
        field: the field below ``path`` that the error names.
        reason: the kind of error.
        needs: a field without which the expression does not compile; v1alpha1 lacks some.
    """

    path: str
    cel: str
    message: str
    value: str = ""
    field: str = ""
    reason: str = INVALID
    needs: str = ""

    def to_manifest(self) -> Schema:
        """Give the entry of ``x-kubernetes-validations``."""
        ratchet = self.path in OPAQUE and "oldSelf" not in self.cel
        entry: Schema = {
            "rule": _ratcheted(self.cel) if ratchet else self.cel,
            "message": self.message.replace(" {}", ""),
            "reason": self.reason,
        }
        if ratchet:
            entry["optionalOldSelf"] = True
        if self.value:
            before, _, after = self.message.replace("'", r"\'").partition("{}")
            entry["messageExpression"] = f"""'{before}"' + {self.value} + '"{after}'"""
        if self.field:
            entry["fieldPath"] = self.field
        return entry


def _ratcheted(cel: str) -> str:
    """Let a rule pass where it was broken before, so that old objects stay alive."""
    before = re.sub(r"\bself\b", "oldSelf.value()", cel)
    return f"({cel}) || (oldSelf.hasValue() && !({before}))"


def quoted(values: tuple[str, ...] | frozenset[str]) -> str:
    """Write a list of strings in CEL."""
    return "[" + ", ".join(f"'{each}'" for each in sorted(values)) + "]"


def pattern(expression: str) -> str:
    """Write a regular expression in CEL, backslashes and all."""
    return f"r'{expression}'"


def unchanged(name: str) -> str:
    """Say in CEL that a field is neither set, nor removed, nor changed."""
    return (
        f"has(self.{name}) == has(oldSelf.{name}) && "
        f"(!has(self.{name}) || self.{name} == oldSelf.{name})"
    )


def toggled(name: str) -> str:
    """Say in CEL that a field stays there or stays away; an object that had both may be mended."""
    return (
        f"has(self.{name}) == has(oldSelf.{name}) || has(oldSelf.inference) == has(oldSelf.tuning)"
    )
