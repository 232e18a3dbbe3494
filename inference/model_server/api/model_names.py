"""
Know under which names a model and its adapters are served.

A client asks by the preset's name, one of its aliases or the hub's id, in any letter case, since
people copy all three from where they find them. An adapter is asked for by its own name, or by any
of the base's with the adapter's behind a colon: `style`, `mistral-7b-instruct:style`. Answers carry
the first name of the base, or the adapter's.

Pure. Must not import anything but the standard library.
"""

from collections.abc import Iterable
from dataclasses import dataclass

BASE = ""  # what a request without an adapter has in its place


@dataclass(frozen=True, slots=True)
class ModelNames:
    """Hold the names in the order in which they are shown."""

    names: tuple[str, ...]
    adapters: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Iterable[str], adapters: Iterable[str] = ()) -> "ModelNames":
        """
        Keep the first of names that differ in letter case only.

        Raises:
            ValueError: If there is none, or an adapter has a name of the base.
        """
        first = {name.lower(): name for name in reversed(list(names))}
        ordered = [name for name in dict.fromkeys(names) if first[name.lower()] == name]
        if not ordered:
            raise ValueError("a model needs at least one name")
        known = cls(tuple(ordered), tuple(adapters))
        for adapter in known.adapters:
            if adapter.lower() in first:
                raise ValueError(
                    f"{adapter!r} is a name of the base model, give the adapter its own"
                )
        return known

    @property
    def primary(self) -> str:
        """Return the name that answers of the base carry."""
        return self.names[0]

    @property
    def all(self) -> tuple[str, ...]:
        """Return every name that a request may ask for, but for those with a colon."""
        return self.names + self.adapters

    def adapter_of(self, name: str) -> str | None:
        """Return the adapter that a name means, BASE for the base, None for an unknown name."""
        if name.lower() in map(str.lower, self.names):
            return BASE
        before, colon, wanted = name.rpartition(":")
        if colon and before.lower() not in map(str.lower, self.names):
            return None
        return next((a for a in self.adapters if a.lower() == wanted.lower()), None)

    def shown(self, adapter: str) -> str:
        """Return the name that answers of an adapter, or of the base, carry."""
        return adapter or self.primary
