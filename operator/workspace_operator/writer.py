"""
Write what one pass wants, in order, each object by the cheapest request that is safe.

    finalizer    first, before anything that would have to be cleaned up
    absent       create: an object that somebody made meanwhile is not taken over, and it costs the
                 API server half of an apply
    present      server-side apply, which takes back our fields and leaves those of others alone
    unwanted     delete, exactly this life of it

Fields that a create has set belong to us as "Update", and an apply never takes such away. So before
the first apply to an object that we have created, they are handed over to our apply; that is one
write more for an object that changes, and most never do.

An object that was as we wanted it, and is not any more, was changed by somebody: that is told by an
event, once in a while however often it happens.

Must not decide.
"""

import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from workspace_operator.api import FINALIZER
from workspace_operator.changes import Changes, live_object, was_made_so
from workspace_operator.cluster import (
    Cluster,
    ClusterError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    Manifest,
)
from workspace_operator.cluster.kinds import KINDS, NODE_CLAIM
from workspace_operator.cluster.ownership import handed_over
from workspace_operator.events import DRIFT, drift_event
from workspace_operator.settled import Settled
from workspace_operator.snapshot import Snapshot

logger = logging.getLogger(__name__)

TOLD_AGAIN_AFTER = timedelta(minutes=10)
MOST_REMEMBERED = 4_096


Refusal = Forbidden | Gone | Invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Write, and remember which applies change nothing."""

    cluster: Cluster
    instance: str
    clock: Callable[[], datetime]
    settled: Settled = field(default_factory=Settled)
    _told: OrderedDict[str, datetime] = field(default_factory=OrderedDict)

    async def write(self, body: Manifest, todo: Changes, snapshot: Snapshot) -> Refusal | None:
        """
        Write what differs, in order, and stop at the first refusal.

        Returns:
            The refusal, for the status to show; None where everything was written.

        Raises:
            ClusterError: The API server is out of reach or somebody else wrote: try again soon.

        """
        todo = self._unsettled(todo, snapshot)
        apply = todo.apply
        try:
            if FINALIZER in finalizers(body):
                apply = _machines_last(apply)
            elif todo:
                held = await self.cluster.set_finalizers(body, (*finalizers(body), FINALIZER))
                body["metadata"] = held["metadata"]
            for manifest in apply:
                await self._put(body, manifest, live_object(manifest, snapshot))
            for gone in todo.delete:
                kind = KINDS[gone.api_version, gone.kind]
                await self.cluster.delete(kind, gone.name, gone.namespace, gone.uid)
        except (Forbidden, Gone, Invalid) as refusal:
            return refusal
        return None

    def _unsettled(self, todo: Changes, snapshot: Snapshot) -> Changes:
        """Leave out what is known to change nothing."""
        apply = tuple(
            manifest
            for manifest in todo.apply
            if not self.settled.is_settled(live_object(manifest, snapshot), manifest)
        )
        return replace(todo, apply=apply)

    async def _put(self, body: Manifest, manifest: Manifest, live: Manifest | None) -> None:
        if live is not None:
            owned = handed_over(live)
            if owned is not None:
                await self.cluster.set_managed_fields(live, owned)
            answer = await self.cluster.apply(manifest)
            self.settled.note(live, manifest, answer)
            if was_made_so(manifest, live) and _version(answer) != _version(live):
                await self._tell_drift(body, manifest, live["metadata"]["uid"])
        elif manifest["kind"] == NODE_CLAIM.kind:
            # One that is there has been asked for by a pass that was cut off: the next reads it.
            with contextlib.suppress(Conflict):
                await self.cluster.create(manifest)
        else:
            await self.cluster.create(manifest)

    async def _tell_drift(self, body: Manifest, manifest: Manifest, uid: str) -> None:
        """Post an event; one that cannot be posted is not worth a failed pass."""
        now = self.clock()
        told = self._told.get(uid)
        if told is not None and now - told < TOLD_AGAIN_AFTER:
            return
        self._told[uid] = now
        self._told.move_to_end(uid)
        while len(self._told) > MOST_REMEMBERED:
            self._told.popitem(last=False)
        logger.warning("put back", extra={"kind": manifest["kind"], "uid": uid})
        try:
            await self.cluster.create(drift_event(body, manifest, now, self.instance))
        except ClusterError as error:
            logger.warning("event not posted", extra={"reason": DRIFT, "error": str(error)})


def _machines_last(manifests: tuple[Manifest, ...]) -> tuple[Manifest, ...]:
    """
    Put NodeClaims behind what stands in the Workspace's namespace.

    The finalizer shows that the namespace exists, in the pass that writes it. Later it is the other
    objects that do: where they are refused because it is gone, no machine is bought.
    """
    return tuple(sorted(manifests, key=lambda each: each["kind"] == NODE_CLAIM.kind))


def _version(manifest: Manifest) -> str:
    return str(manifest["metadata"].get("resourceVersion", ""))


def finalizers(body: Manifest) -> tuple[str, ...]:
    """Return the finalizers of an object."""
    return tuple(body["metadata"].get("finalizers") or ())
