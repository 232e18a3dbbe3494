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

Must not decide.
"""

import contextlib
from dataclasses import dataclass, field, replace

from workspace_operator.api import FINALIZER
from workspace_operator.changes import Changes, live_object
from workspace_operator.cluster import Cluster, Conflict, Forbidden, Gone, Invalid, Manifest
from workspace_operator.cluster.kinds import KINDS, NODE_CLAIM
from workspace_operator.cluster.ownership import handed_over
from workspace_operator.settled import Settled
from workspace_operator.snapshot import Snapshot

Refusal = Forbidden | Gone | Invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Write, and remember which applies change nothing."""

    cluster: Cluster
    settled: Settled = field(default_factory=Settled)

    async def write(self, body: Manifest, todo: Changes, snapshot: Snapshot) -> Refusal | None:
        """
        Write what differs, in order, and stop at the first refusal.

        Returns:
            The refusal, for the status to show; None where everything was written.

        Raises:
            ClusterError: The API server is out of reach or somebody else wrote: try again soon.

        """
        todo = self._unsettled(todo, snapshot)
        try:
            if todo and FINALIZER not in finalizers(body):
                held = await self.cluster.set_finalizers(body, (*finalizers(body), FINALIZER))
                body["metadata"] = held["metadata"]
            for manifest in todo.apply:
                await self._put(manifest, live_object(manifest, snapshot))
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

    async def _put(self, manifest: Manifest, live: Manifest | None) -> None:
        if live is not None:
            owned = handed_over(live)
            if owned is not None:
                await self.cluster.set_managed_fields(live, owned)
            answer = await self.cluster.apply(manifest)
            self.settled.note(live, manifest, answer)
        elif manifest["kind"] == NODE_CLAIM.kind:
            # One that is there has been asked for by a pass that was cut off: the next reads it.
            with contextlib.suppress(Conflict):
                await self.cluster.create(manifest)
        else:
            await self.cluster.create(manifest)


def finalizers(body: Manifest) -> tuple[str, ...]:
    """Return the finalizers of an object."""
    return tuple(body["metadata"].get("finalizers") or ())
