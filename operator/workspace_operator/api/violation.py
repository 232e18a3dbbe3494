"""
The shape of a broken rule.

Must not import anything of this package.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One broken rule: the path of the field, and why it is refused with what to do instead."""

    path: str
    why: str
