"""
Publish what was found out about a Workspace: its status, an event per new phase, the metrics.

A status equal to the stored one is not written, so a pass without news makes no write at all. One
that differs is kept until the queue has time for it, and the next pass may replace it: what stands
in the cluster is then a little late, never false, and many small steps cost one write. Until it is
written it counts as told, since it also remembers which machines were asked for.

Invariant: what is untold is lost with the process and worked out again by the next pass. The
manifest carries the uid: a status never lands on another life of the Workspace.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from workspace_operator.api import WorkspaceStatus
from workspace_operator.api.parse import parse_status
from workspace_operator.cluster import Cluster, ClusterError, Conflict, Gone, Manifest
from workspace_operator.cluster.kinds import WORKSPACE
from workspace_operator.events import headline, headline_event
from workspace_operator.metrics import Metrics
from workspace_operator.packed import packed, unpacked
from workspace_operator.wake import Key

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """
    Hold what is to be told about one life of a Workspace; small, since there may be thousands.

    Attributes:
        uid: The life.
        status: The new status, packed.
        headline_before: What users were told of last: a phase, or a failure in it.

    """

    uid: str
    status: bytes
    headline_before: str | None

    def body(self, key: Key) -> Manifest:
        """Return the Workspace without spec and status, to address it."""
        metadata = {"name": key.name, "namespace": key.namespace, "uid": self.uid}
        return {"apiVersion": WORKSPACE.api_version, "kind": WORKSPACE.kind, "metadata": metadata}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """Keep what changed, and write it once when asked to."""

    cluster: Cluster
    metrics: Metrics
    instance: str
    clock: Callable[[], datetime]
    _untold: dict[Key, Report] = field(default_factory=dict)

    def with_untold(self, key: Key, body: Manifest) -> Manifest:
        """Return the Workspace with the status that it is about to have."""
        report = self._untold.get(key)
        if report is None or report.uid != body["metadata"]["uid"]:
            return body
        return {**body, "status": unpacked(report.status)}

    def note(self, key: Key, body: Manifest, status: WorkspaceStatus) -> None:
        """Keep a status, to be told where it differs from the one that `body` was read with."""
        self.metrics.show_phase(key, status.phase or "Unknown")
        startup = status.startup.model_dump(exclude_none=True) if status.startup else {}
        self.metrics.show_startup(key, startup)
        if body.get("tuning") is not None:
            self.metrics.tunings.show(key, status)
        stored = parse_status(body.get("status"))
        manifest = _with_times_of(stored, status).to_manifest()
        if manifest == stored.to_manifest():
            self._untold.pop(key, None)
            return
        self._untold[key] = Report(
            uid=body["metadata"]["uid"],
            status=packed(manifest),
            headline_before=headline(stored),
        )

    def has_news(self, key: Key) -> bool:
        """Say whether something is to be told."""
        return key in self._untold

    async def tell(self, key: Key) -> None:
        """
        Write what is to be told about a Workspace.

        Raises:
            ClusterError: The API server refused it; it is kept, and the next pass starts from it.

        """
        report = self._untold.get(key)
        if report is None:
            return
        body, status = report.body(key), unpacked(report.status)
        try:
            await self.cluster.apply_status({**body, "status": status})
        except (Conflict, Gone):  # another life of the Workspace, or none
            del self._untold[key]
            return
        del self._untold[key]
        told = parse_status(status)
        if headline(told) != report.headline_before:
            logger.info("phase", extra={"key": str(key), "phase": headline(told)})
            await self._announce(body, report.headline_before, told)

    async def tell_all(self, seconds: float) -> None:
        """Write everything that is untold, as far as that can be done in some seconds."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*map(self.tell, tuple(self._untold)), return_exceptions=True)
        except TimeoutError:
            pass
        if self._untold:
            logger.warning("left untold", extra={"workspaces": len(self._untold)})

    def forget(self, key: Key) -> None:
        """Take a Workspace that is gone out of the metrics."""
        self._untold.pop(key, None)
        self.metrics.show_phase(key, None)

    async def _announce(self, body: Manifest, before: str | None, status: WorkspaceStatus) -> None:
        """Post the event; one that cannot be posted is not worth a failed pass."""
        event = headline_event(body, before, status, self.clock(), self.instance)
        if event is None:
            return
        try:
            await self.cluster.create(event)
        except ClusterError as error:
            logger.warning("event not posted", extra={"reason": status.phase, "error": str(error)})


def _with_times_of(stored: WorkspaceStatus, status: WorkspaceStatus) -> WorkspaceStatus:
    """
    Return the status with the time of each condition that users still see as it was.

    A condition that changed and changed back before anybody was told has not changed for them.
    """
    told = {each.type: each for each in stored.conditions}
    return status.model_copy(
        update={
            "conditions": tuple(
                each.model_copy(update={"last_transition_time": before.last_transition_time})
                if (before := told.get(each.type)) is not None and before.status == each.status
                else each
                for each in status.conditions
            )
        }
    )
