"""
Know the objects that are as right as they can be, although they do not look like it.

The API server drops a field that says zero, and a webhook of the cluster may put its own value over
ours. Such an object never covers what is wanted; applied again it stays what it is, and it would be
applied again in every pass. So an apply that changed nothing is remembered: the same wish is not
repeated until the object changes.

Invariant: forgetting costs one write that changes nothing. Must not import the cluster.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from workspace_operator.objects.metadata import DESIRED_HASH_ANNOTATION
from workspace_operator.snapshot import Manifest
from workspace_operator.snapshot.reading import section, strings, text

MOST_REMEMBERED = 4_096


@dataclass(slots=True)
class Settled:
    """Remember which state of which object an apply of which wish did not change."""

    _known: OrderedDict[str, tuple[str, str]] = field(default_factory=OrderedDict)

    def note(self, live: Manifest | None, wanted: Manifest, answer: Manifest) -> None:
        """Look at the answer to an apply of `wanted`, made when the object was `live`."""
        if live is None or _version(live) != _version(answer):
            return
        uid = text(section(answer, "metadata").get("uid"))
        self._known[uid] = (_state(answer), _wish(wanted))
        self._known.move_to_end(uid)
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)

    def is_settled(self, live: Manifest | None, wanted: Manifest) -> bool:
        """Say whether applying `wanted` to `live` is known to change nothing."""
        if live is None:
            return False
        uid = text(section(live, "metadata").get("uid"))
        return self._known.get(uid) == (_state(live), _wish(wanted))


def _state(manifest: Manifest) -> str:
    """Return what moves with the spec: the generation, or where a kind has none the version."""
    generation = section(manifest, "metadata").get("generation")
    return str(generation) if generation else _version(manifest)


def _version(manifest: Manifest) -> str:
    return text(section(manifest, "metadata").get("resourceVersion"))


def _wish(manifest: Manifest) -> str:
    return strings(section(manifest, "metadata", "annotations")).get(DESIRED_HASH_ANNOTATION, "")
