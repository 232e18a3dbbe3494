"""
Know under which names a model is served.

A client asks by the preset's name, one of its aliases or the hub's id, in any letter case, since
people copy all three from where they find them. Answers carry the first name.

Pure. Must not import anything but the standard library.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelNames:
    """Hold the names in the order in which they are shown."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, names: Iterable[str]) -> "ModelNames":
        """Keep the first of names that differ in letter case only."""
        first = {name.lower(): name for name in reversed(list(names))}
        ordered = [name for name in dict.fromkeys(names) if first[name.lower()] == name]
        if not ordered:
            raise ValueError("a model needs at least one name")
        return cls(tuple(ordered))

    @property
    def primary(self) -> str:
        """Return the name that answers carry."""
        return self.names[0]

    def knows(self, name: str) -> bool:
        """Tell whether a name means this model."""
        return name.lower() in {known.lower() for known in self.names}
