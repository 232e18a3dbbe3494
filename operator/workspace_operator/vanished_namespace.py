"""
Give back the machines of a Workspace whose namespace does not exist any more.

A namespace that ends while an API server does not name our definition (it has just started) goes
without its Workspaces. Such a one can be read and deleted, but the API server refuses each write to
it, so its status stays as it was, its finalizer cannot go, and its NodeClaims, which belong to no
namespace, would cost money until somebody looks.

What tells us is the refusal itself: before it says that a namespace does not exist, the API server
asks etcd and not its cache, so no right to read namespaces is needed. Still no machine goes for one
answer: it takes refusals a minute apart with no pass between them that went well, and not one pod
of the Workspace.

Must not write anything but the deletion of NodeClaims.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from workspace_operator.claim_search import claim_selector
from workspace_operator.cluster import Cluster, Gone, Manifest
from workspace_operator.cluster.kinds import NODE_CLAIM, POD
from workspace_operator.objects.metadata import WORKSPACE_LABEL
from workspace_operator.wake import Key, owner_uid

logger = logging.getLogger(__name__)

# Source: k8s.io/apiserver, plugin/pkg/admission/namespace/lifecycle: a live lookup comes before
# the refusal. A minute is there for whoever makes the namespace again at once.
GRACE_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VanishedNamespaces:
    """Know the Workspaces that cannot be written to, each with the time since when."""

    cluster: Cluster
    clock: Callable[[], datetime]
    _since: dict[tuple[Key, str], datetime] = field(default_factory=dict)

    def __len__(self) -> int:
        """Count the Workspaces whose namespace is gone."""
        return len(self._since)

    def forget(self, key: Key) -> None:
        """Take back what was thought of a Workspace: a pass over it went well, or it is gone."""
        for known in [each for each in self._since if each[0] == key]:
            del self._since[known]

    async def refused(self, key: Key, body: Manifest) -> float:
        """
        Act on a refusal that has just come in.

        Returns:
            Seconds until the Workspace is worth another try.

        """
        uid = body["metadata"]["uid"]
        if (key, uid) not in self._since:
            self.forget(key)
            self._since[key, uid] = self.clock()
            logger.error("namespace is gone, its workspace is not", extra={"key": str(key)})
        waited = (self.clock() - self._since[key, uid]).total_seconds()
        if waited < GRACE_SECONDS:
            return GRACE_SECONDS - waited
        labels = f"{WORKSPACE_LABEL}={key.name}"
        if not await self.cluster.list(POD, namespace=key.namespace, labels=labels):
            await self._give_back(key, uid)
        return LOOK_AGAIN_SECONDS

    async def _give_back(self, key: Key, uid: str) -> None:
        try:
            claims = await self.cluster.list(
                NODE_CLAIM, labels=claim_selector(key.namespace, key.name)
            )
        except Gone:
            return
        for claim in claims:
            metadata = claim["metadata"]
            if owner_uid(claim) == uid and not metadata.get("deletionTimestamp"):
                name = metadata["name"]
                logger.error(
                    "machine given back, its namespace is gone",
                    extra={"key": str(key), "claim": name},
                )
                await self.cluster.delete(NODE_CLAIM, name, None, metadata["uid"])
