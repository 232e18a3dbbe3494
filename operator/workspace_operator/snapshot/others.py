"""
See what pods of others hold of a node: a GPU that is in use is not free.

A node's `allocatable` counts every GPU that it has, also those that pods were given; only the
requests of these pods say what is left.

Must not import anything above `snapshot`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from workspace_operator.snapshot.reading import Manifest, integer, mappings, section, text

_ENDED = frozenset({"Succeeded", "Failed"})


@dataclass(slots=True)
class Taken:
    """Count what the pods of one node requested, and name those that hold something."""

    amounts: dict[str, int] = field(default_factory=dict)
    holders: dict[str, list[str]] = field(default_factory=dict)

    def of(self, resource: str) -> int:
        """Return how much of a resource is taken."""
        return self.amounts.get(resource, 0)


def taken_by(pods: Iterable[Manifest]) -> Mapping[str, Taken]:
    """Return what these pods hold, by node; pods that have ended hold nothing."""
    found: dict[str, Taken] = {}
    for pod in pods:
        node = text(section(pod, "spec").get("nodeName"))
        if not node or section(pod, "status").get("phase") in _ENDED:
            continue
        metadata = section(pod, "metadata")
        name = f"{text(metadata.get('namespace'))}/{text(metadata.get('name'))}"
        taken = found.setdefault(node, Taken())
        for resource, amount in _requests(pod).items():
            taken.amounts[resource] = taken.of(resource) + amount
            taken.holders.setdefault(resource, []).append(name)
    return found


def _requests(pod: Manifest) -> dict[str, int]:
    """Return the extended resources of all containers; for those a limit is a request."""
    amounts: dict[str, int] = {}
    for container in mappings(section(pod, "spec").get("containers")):
        wanted = section(container, "resources", "limits") | section(
            container, "resources", "requests"
        )
        for resource, quantity in wanted.items():
            if "/" in resource and integer(quantity):
                amounts[resource] = amounts.get(resource, 0) + integer(quantity)
    return amounts
