"""
Know our own writes when the watch brings them back, so that nobody is woken by his own voice.

Each write of a pass returns as an event a moment later, and would cause a pass that finds nothing.
An event whose object has exactly the version that our write produced tells nothing that the pass
did not know. One that arrives before the answer to the write is not recognized, and costs that
pass.

Must not import kopf or the cluster.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from workspace_operator.snapshot import Manifest
from workspace_operator.snapshot.reading import section, text

MOST_REMEMBERED = 4_096


@dataclass(slots=True)
class Echoes:
    """Remember which version of which object was made by our last write to it."""

    _written: OrderedDict[str, str] = field(default_factory=OrderedDict)

    def wrote(self, answer: Manifest) -> None:
        """Note the object that the API server returned for a write."""
        uid, version = _version(answer)
        if uid and version:
            self._written[uid] = version
            self._written.move_to_end(uid)
            while len(self._written) > MOST_REMEMBERED:
                self._written.popitem(last=False)

    def is_ours(self, seen: Manifest) -> bool:
        """Tell whether an object looks exactly as our last write left it."""
        uid, version = _version(seen)
        return bool(version) and self._written.get(uid) == version


def _version(manifest: Manifest) -> tuple[str, str]:
    metadata = section(manifest, "metadata")
    return text(metadata.get("uid")), text(metadata.get("resourceVersion"))
