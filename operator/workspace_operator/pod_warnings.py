"""
Ask for the Events of a pod that waits without saying why, seldom and for few.

The API server keeps Events out of its cache, so a list of them reads etcd: it is asked only about
pods whose own status names no reason (`snapshot.pod_events`), about two of a Workspace at a time,
and about each no oftener than every twenty seconds. What comes back explains, and decides nothing.

Invariant: never raises; an explanation that cannot be had is none.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from workspace_operator.cluster import Cluster, ClusterError
from workspace_operator.cluster.kinds import POD_EVENT
from workspace_operator.snapshot import Pod, PodWarning
from workspace_operator.snapshot.pod_events import is_unexplained, warning_in

logger = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 20.0
MOST_AT_ONCE: Final = 2
MOST_REMEMBERED: Final = 1_000


@dataclass(slots=True, kw_only=True)
class PodWarnings:
    """Read warnings, and keep each for a while."""

    cluster: Cluster
    monotonic: Callable[[], float] = time.monotonic
    _heard: OrderedDict[str, tuple[float, PodWarning | None]] = field(default_factory=OrderedDict)

    async def of(
        self, namespace: str, pods: Iterable[Pod], now: datetime, *, own_program: bool
    ) -> dict[str, PodWarning]:
        """Return what Events say about those of the pods that do not explain themselves."""
        silent = [pod for pod in pods if is_unexplained(pod, now, own_program=own_program)]
        asked = sorted(silent, key=lambda pod: pod.name)[:MOST_AT_ONCE]
        heard = await asyncio.gather(*(self._hear(namespace, pod) for pod in asked))
        return {
            pod.name: warning
            for pod, warning in zip(asked, heard, strict=True)
            if warning is not None
        }

    async def _hear(self, namespace: str, pod: Pod) -> PodWarning | None:
        known = self._heard.get(pod.uid)
        if known is not None and self.monotonic() - known[0] < INTERVAL_SECONDS:
            return known[1]
        fields = f"involvedObject.uid={pod.uid},type=Warning"
        try:
            events = await self.cluster.list(
                POD_EVENT, namespace=namespace, fields=fields, fresh=False
            )
        except ClusterError as error:
            logger.warning("events not read", extra={"pod": pod.name, "error": str(error)})
            return known[1] if known else None
        warning = warning_in(events)
        self._heard[pod.uid] = (self.monotonic(), warning)
        self._heard.move_to_end(pod.uid)
        while len(self._heard) > MOST_REMEMBERED:
            self._heard.popitem(last=False)
        return warning
