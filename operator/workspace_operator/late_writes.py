"""
Leave to the last what no pod waits for: the Service of a Workspace that gets its Deployment now.

A Service is the dearest object of all to create, since an address is allocated, and traffic comes
minutes after the pod. So a pass that creates both creates the Deployment, and leaves the Service to
the queue's telling, behind the passes of others that wait.

Invariant: what is left was decided on the reads of the last pass, is a creation and nothing else,
and is dropped when the next pass begins: that one reads anew and finds the Deployment there, so it
creates the Service in its place, and reports a refusal.

Must not decide what should exist.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from workspace_operator.changes import Changes, live_object
from workspace_operator.cluster import Cluster, Forbidden, Gone, Invalid, Manifest
from workspace_operator.cluster.kinds import DEPLOYMENT, SERVICE
from workspace_operator.packed import packed, unpacked
from workspace_operator.snapshot import Snapshot
from workspace_operator.wake import Key


class NotCreated(Exception):
    """What was left could not be created: the next pass, soon, meets the refusal and reports it."""


class Telling(Protocol):
    """Be what a pass leaves to be done when nothing more urgent waits."""

    def has_news(self, key: Key) -> bool:
        """Say whether something is left."""

    async def tell(self, key: Key) -> None:
        """Do it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LateWrites:
    """Keep the Services that are still to be created."""

    cluster: Cluster
    _left: dict[Key, bytes] = field(default_factory=dict)

    def part(self, todo: Changes, snapshot: Snapshot) -> tuple[Changes, Manifest | None]:
        """Part what is to be written now from the Service that may come later, if there is one."""
        kinds = {each["kind"] for each in todo.apply}
        later = [
            each
            for each in todo.apply
            if each["kind"] == SERVICE.kind and live_object(each, snapshot) is None
        ]
        if not later or DEPLOYMENT.kind not in kinds or snapshot.deployment is not None:
            return todo, None
        now = tuple(each for each in todo.apply if each is not later[0])
        return replace(todo, apply=now), later[0]

    def keep(self, key: Key, manifest: Manifest | None) -> None:
        """Keep what is to be created, now that the rest of the pass has been written."""
        if manifest is not None:
            self._left[key] = packed(manifest)

    def drop(self, key: Key) -> None:
        """Forget it: a new pass begins, and decides anew."""
        self._left.pop(key, None)

    def has_news(self, key: Key) -> bool:
        """Say whether something is to be created."""
        return key in self._left

    async def tell(self, key: Key) -> None:
        """
        Create it.

        Raises:
            NotCreated: It was refused.
            ClusterError: The API server is out of reach, or somebody else has made one.

        """
        left = self._left.pop(key, None)
        if left is None:
            return
        try:
            await self.cluster.create(unpacked(left))
        except (Forbidden, Gone, Invalid) as refusal:
            raise NotCreated(str(refusal)) from refusal


@dataclass(frozen=True, slots=True)
class InOrder:
    """Do several such things, one after the other."""

    parts: Sequence[Telling]

    def has_news(self, key: Key) -> bool:
        """Say whether one of them is left."""
        return any(each.has_news(key) for each in self.parts)

    async def tell(self, key: Key) -> None:
        """Do them in order; what is raised leaves the rest to the next time."""
        for each in self.parts:
            await each.tell(key)
