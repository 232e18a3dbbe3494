"""
Know our own writes when the watch brings them back, so that nobody is woken by his own voice.

Each write of a pass returns as an event a moment later, and would cause a pass that finds nothing.
An event whose object has exactly the version that our write produced tells nothing that the pass
did not know. One that arrives before the answer to the write is not recognized, and costs that
pass.

Must not import kopf or the cluster.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from workspace_operator.snapshot import Manifest
from workspace_operator.snapshot.reading import section, text

MOST_REMEMBERED = 4_096


Name = tuple[str, str, str]


@dataclass(slots=True)
class Echoes:
    """Remember which version of which object was made by our last write to it."""

    _written: OrderedDict[str, str] = field(default_factory=OrderedDict)
    _held: dict[Name, list[tuple[Manifest, Callable[[], None]]]] = field(default_factory=dict)

    @contextmanager
    def writing(self, manifest: Manifest) -> Iterator[None]:
        """Hold what is heard of an object while a write to it is under way."""
        name = _name(manifest)
        self._held.setdefault(name, [])
        try:
            yield
        finally:
            for heard, act in self._held.pop(name, ()):
                self.unless_ours(heard, act)

    def wrote(self, answer: Manifest) -> None:
        """Note the object that the API server returned for a write."""
        uid, version = _version(answer)
        if uid and version:
            self._written[uid] = version
            self._written.move_to_end(uid)
            while len(self._written) > MOST_REMEMBERED:
                self._written.popitem(last=False)

    def unless_ours(self, seen: Manifest, act: Callable[[], None]) -> None:
        """Act on an object that was seen, now or after the write under way, if it is news."""
        held = self._held.get(_name(seen))
        if held is not None:
            held.append((seen, act))
        elif not self.is_ours(seen):
            act()

    def is_ours(self, seen: Manifest) -> bool:
        """Tell whether an object looks exactly as our last write left it."""
        return self.has_made(*_version(seen))

    def has_made(self, uid: str, version: str) -> bool:
        """Tell whether our last write to an object made this version of it."""
        return bool(version) and self._written.get(uid) == version


def _name(manifest: Manifest) -> Name:
    metadata = section(manifest, "metadata")
    return text(manifest.get("kind")), text(metadata.get("namespace")), text(metadata.get("name"))


def _version(manifest: Manifest) -> tuple[str, str]:
    metadata = section(manifest, "metadata")
    return text(metadata.get("uid")), text(metadata.get("resourceVersion"))
