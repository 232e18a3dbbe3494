"""
Keep what a NodeClaim said about its trouble, for when it is gone before anybody read it.

Karpenter writes why there is no machine and deletes the claim a moment later; a pass that reads
freshly finds nothing. The watch has delivered those words, though. They are an explanation and
never a reason to act: what exists is always read from the API server.

Must not import kopf or the cluster.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from workspace_operator.snapshot import Manifest, NodeClaim, ObservedCondition

MOST_REMEMBERED = 1_000


@dataclass(slots=True)
class LastWords:
    """Remember the obstacles of the claims that were heard of last."""

    _heard: OrderedDict[str, ObservedCondition] = field(default_factory=OrderedDict)

    def hear(self, claim: Manifest) -> None:
        """Note what a claim says, if it says anything."""
        seen = NodeClaim.parse(claim)
        obstacle = seen.obstacle
        if obstacle is None or not obstacle.message:
            return
        self._heard[seen.name] = obstacle
        self._heard.move_to_end(seen.name)
        while len(self._heard) > MOST_REMEMBERED:
            self._heard.popitem(last=False)

    def of(self, names: Iterable[str]) -> dict[str, ObservedCondition]:
        """Return what these claims said last."""
        return {name: self._heard[name] for name in names if name in self._heard}
