"""
Keep what was said about a NodeClaim's trouble, for when it is gone before anybody read it.

Karpenter writes why there is no machine and deletes the claim a moment later; a pass that reads
freshly finds nothing. Some reasons stand on the claim, in a condition; that a cloud has no capacity
stands only in an Event about it, which may arrive when the claim is gone. The watches have
delivered both. They are an explanation and never a reason to act: what exists is always read from
the API server.

Must not import kopf or the cluster.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from workspace_operator.snapshot import Manifest, NodeClaim, ObservedCondition
from workspace_operator.snapshot.reading import moment, section, text

MOST_REMEMBERED = 1_000
# What a condition says before anybody has looked. Source: awslabs/operatorpkg, status/condition.go.
NOT_LOOKED_AT = "AwaitingReconciliation"
# Events about the end of a machine, which say nothing about why there is none.
# Source: kubernetes-sigs/karpenter, pkg/events/reason.go at v1.13.0.
_OF_THE_END = frozenset(
    {
        "AwaitingVolumeDetachment",
        "DisruptionBlocked",
        "DisruptionLaunching",
        "DisruptionTerminating",
        "DisruptionWaitingReadiness",
        "FailedDraining",
        "NodeRepairBlocked",
        "TerminationGracePeriodExpiring",
    }
)


@dataclass(slots=True)
class LastWords:
    """Remember the obstacles of the claims that were heard of last."""

    _heard: OrderedDict[str, ObservedCondition] = field(default_factory=OrderedDict)
    _conditions: OrderedDict[str, ObservedCondition] = field(default_factory=OrderedDict)

    def hear(self, claim: Manifest) -> None:
        """Note what a claim says, if it says anything that it has not said before."""
        seen = NodeClaim.parse(claim)
        obstacle = seen.obstacle
        if obstacle is None or not obstacle.message or obstacle.reason == NOT_LOOKED_AT:
            return
        if self._conditions.get(seen.name) != obstacle:
            _note(self._conditions, seen.name, obstacle)
            _note(self._heard, seen.name, obstacle)

    def hear_event(self, event: Manifest) -> str:
        """Note what an Event says about a claim, and return the claim's name."""
        name = text(section(event, "involvedObject").get("name"))
        reason, message = text(event.get("reason")), text(event.get("message"))
        if name and message and reason not in _OF_THE_END:
            words = ObservedCondition(
                type="Launched",
                status="False",
                reason=reason,
                message=message.removeprefix(f"NodeClaim {name} event: "),
                since=moment(event.get("lastTimestamp")),
            )
            _note(self._heard, name, words)
        return name

    def of(self, names: Iterable[str]) -> dict[str, ObservedCondition]:
        """Return what was said last about these claims."""
        return {name: self._heard[name] for name in names if name in self._heard}


def _note(where: OrderedDict[str, ObservedCondition], name: str, words: ObservedCondition) -> None:
    where[name] = words
    where.move_to_end(name)
    while len(where) > MOST_REMEMBERED:
        where.popitem(last=False)
