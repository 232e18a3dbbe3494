"""
Publish what was found out about a Workspace: its status, an event per new phase, the metrics.

A status equal to the stored one is not written, so a pass without news makes no write at all. The
manifest carries the uid: a status never lands on another life of the Workspace.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from workspace_operator.api import WorkspaceStatus
from workspace_operator.api.parse import parse_status
from workspace_operator.cluster import Cluster, ClusterError, Gone, Manifest
from workspace_operator.events import phase_event
from workspace_operator.metrics import Metrics
from workspace_operator.wake import Key

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """Write what changed, once."""

    cluster: Cluster
    metrics: Metrics
    instance: str
    clock: Callable[[], datetime]

    async def write(self, key: Key, body: Manifest, status: WorkspaceStatus) -> None:
        """
        Publish a status where it differs from the stored one.

        Raises:
            ClusterError: The API server refused it; the next pass tries again.

        """
        self.metrics.show_phase(key, status.phase or "Unknown")
        startup = status.startup.model_dump(exclude_none=True) if status.startup else {}
        self.metrics.show_startup(key, startup)
        before = parse_status(body.get("status"))
        manifest = status.to_manifest()
        if manifest == before.to_manifest():
            return
        metadata = body["metadata"]
        try:
            await self.cluster.apply_status(
                {
                    "apiVersion": body["apiVersion"],
                    "kind": body["kind"],
                    "metadata": {each: metadata[each] for each in ("name", "namespace", "uid")},
                    "status": manifest,
                }
            )
        except Gone:
            return
        if status.phase != before.phase:
            logger.info("phase", extra={"key": str(key), "phase": status.phase})
        await self._announce(body, before, status)

    def forget(self, key: Key) -> None:
        """Take a Workspace that is gone out of the metrics."""
        self.metrics.show_phase(key, None)

    async def _announce(
        self, body: Manifest, before: WorkspaceStatus, after: WorkspaceStatus
    ) -> None:
        """Post the event; one that cannot be posted is not worth a failed pass."""
        event = phase_event(body, before, after, self.clock(), self.instance)
        if event is None:
            return
        try:
            await self.cluster.create(event)
        except ClusterError as error:
            logger.warning("event not posted", extra={"reason": after.phase, "error": str(error)})
