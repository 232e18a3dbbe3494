"""
Let exactly one operator write, by holding a coordination.k8s.io Lease.

Clocks of two machines differ, so no time of the other side is ever compared with ours: a follower
waits until the record has not *changed* for its whole duration on the follower's own monotonic
clock, and a holder stops writing when its own last renewal is older than `RENEW_WITHIN_SECONDS`.
The second is shorter than the first, and that gap is the safety.

Invariant: `check` passes only while no other process can have taken the Lease.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from workspace_operator.cluster.errors import ClusterError
from workspace_operator.cluster.kinds import LEASE, Manifest
from workspace_operator.cluster.port import Cluster

logger = logging.getLogger(__name__)

# Source: the defaults of Kubernetes' own controllers
# (k8s.io/component-base/config/v1alpha1/defaults.go, LeaderElectionConfiguration).
DURATION_SECONDS = 15
RENEW_WITHIN_SECONDS = 10.0
RETRY_SECONDS = 2.0
ATTEMPT_SECONDS = 4.0  # leaves room for a second attempt before the Lease is lost


class LeaseLost(Exception):
    """Say that this process may not write any more."""


def new_identity(pod_name: str) -> str:
    """Name one life of one process, so that a restarted pod does not take itself for its past."""
    return f"{pod_name}_{uuid.uuid4()}"


@dataclass(slots=True, kw_only=True)
class Lease:
    """
    Compete for the Lease, keep it, and give it back.

    `cluster` must not be guarded by this very Lease.
    """

    cluster: Cluster
    namespace: str
    name: str
    identity: str
    monotonic: Callable[[], float] = time.monotonic
    _valid_until: float = float("-inf")
    _seen: tuple[Any, ...] = ()
    _seen_at: float = field(default=float("-inf"))
    _held: Manifest | None = None

    @property
    def is_held(self) -> bool:
        """Tell whether this process may write now."""
        return self.monotonic() < self._valid_until

    def check(self) -> None:
        """
        Guard a write.

        Raises:
            LeaseLost: This process does not hold the Lease, or not for sure.

        """
        if not self.is_held:
            message = f"the Lease {self.namespace}/{self.name} is not ours; nothing was written"
            raise LeaseLost(message)

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        while not await self._attempt():  # noqa: ASYNC110 - what we wait for is remote
            await asyncio.sleep(RETRY_SECONDS)
        logger.info("lease acquired", extra={"lease": self.name, "identity": self.identity})

    async def keep(self) -> None:
        """
        Renew until cancelled.

        Raises:
            LeaseLost: Renewal failed for too long, or somebody else holds the Lease.

        """
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                async with asyncio.timeout(ATTEMPT_SECONDS):
                    renewed = await self._attempt()
            except TimeoutError:
                renewed = False
            if not renewed:
                self.check()

    async def release(self) -> None:
        """Give the Lease back, so that the next process need not wait for it to run out."""
        held, self._held = self._held, None
        self._valid_until = float("-inf")
        if held is None:
            return
        held["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
        try:
            await self.cluster.replace(held)
        except ClusterError as error:
            logger.warning("lease not released", extra={"lease": self.name, "error": str(error)})
        else:
            logger.info("lease released", extra={"lease": self.name, "identity": self.identity})

    async def _attempt(self) -> bool:
        """Take or renew the Lease if that is possible now."""
        started = self.monotonic()
        try:
            found = await self.cluster.find(LEASE, self.name, self.namespace)
            if found is None:
                self._held = await self.cluster.create(self._manifest({}, transitions=0))
            elif self._may_take(found.get("spec") or {}):
                self._held = await self.cluster.replace(self._successor(found))
            else:
                self._lose(found)
                return False
        except ClusterError as error:
            logger.warning("lease not renewed", extra={"lease": self.name, "error": str(error)})
            return False
        self._valid_until = started + RENEW_WITHIN_SECONDS
        return True

    def _may_take(self, spec: Manifest) -> bool:
        holder = spec.get("holderIdentity")
        if not holder or holder == self.identity:
            return True
        seen = (holder, spec.get("renewTime"), spec.get("leaseTransitions"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self.monotonic()
        duration = spec.get("leaseDurationSeconds") or DURATION_SECONDS
        return self.monotonic() > self._seen_at + float(duration)

    def _lose(self, found: Manifest) -> None:
        """Stop writing at once: the record names somebody else."""
        self._held = None
        if self.is_held:
            self._valid_until = float("-inf")
            holder = found["spec"].get("holderIdentity")
            logger.error("lease lost", extra={"lease": self.name, "holder": holder})

    def _successor(self, found: Manifest) -> Manifest:
        spec = found.get("spec") or {}
        transitions = int(spec.get("leaseTransitions") or 0)
        if spec.get("holderIdentity") != self.identity:
            transitions += 1
        successor = self._manifest({**found["metadata"]}, transitions=transitions)
        if spec.get("holderIdentity") == self.identity and spec.get("acquireTime"):
            successor["spec"]["acquireTime"] = spec["acquireTime"]
        return successor

    def _manifest(self, metadata: Manifest, *, transitions: int) -> Manifest:
        now = _now()
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {**metadata, "name": self.name, "namespace": self.namespace},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": DURATION_SECONDS,
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }


def _now() -> str:
    """Return the time in the API's MicroTime form; for people to read, never compared."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
