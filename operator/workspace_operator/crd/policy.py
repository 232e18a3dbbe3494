"""
The shape of an admission policy, and the phrases that policies share.

Invariant: pure text; ``policies`` and ``annotation_policies`` hold the rules themselves.
"""

from dataclasses import dataclass, field

TYPE_NAMED = (
    "has(object.resource) && has(object.resource.instanceType) "
    "&& object.resource.instanceType != ''"
)
OLD_TYPE_NAMED = f"oldObject != null && {TYPE_NAMED}".replace("object.", "oldObject.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """
    Hold one rule of a policy.

    Attributes:
        field: the field or annotation that it is about.
        cel: what must hold.
        message: CEL that gives the sentence for the user.
        about: the rule in a few words, for the user's page.
    """

    field: str
    cel: str
    message: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Hold the rules that are judged together, and whether they refuse or warn."""

    denies: bool
    operations: tuple[str, ...] = ("CREATE", "UPDATE")
    variables: dict[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...]


def text(words: str) -> str:
    """Write a text as a CEL string."""
    return "'" + words.replace("\\", "\\\\").replace("'", r"\'") + "'"
