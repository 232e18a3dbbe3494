"""
Notice that the cluster has come to know NodeClaims while the operator was running.

Karpenter may be installed after the operator, or again after it was taken away. A watch of a kind
that is not served can not be opened, and kopf looks for the kinds once, at its start. So the
definition itself is watched, that one object and no other; where it is not the one that was there
at the start, the operator starts over within its process. That opens every watch and looks at every
Workspace, by the one path that each start takes; no container restarts, and a follower may lead.

Must not import kopf.
"""

import asyncio
import logging
from dataclasses import dataclass, field

from workspace_operator.cluster import Cluster, ClusterError, Manifest
from workspace_operator.cluster.kinds import DEFINITION, NODE_CLAIM
from workspace_operator.snapshot.reading import conditions, section, text

logger = logging.getLogger(__name__)

CLAIM_DEFINITION = f"{NODE_CLAIM.plural}.karpenter.sh"


class StartOver(Exception):
    """Say that what this start found out about the cluster is no longer so."""


@dataclass(slots=True, kw_only=True)
class ClaimDefinition:
    """Remember which definition of NodeClaims is served, by its uid; none is an empty one."""

    cluster: Cluster
    _known: str = ""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> bool:
        """
        Look which definition is served now, and say whether the operator may watch it.

        Without the right (roles of an earlier chart, or the administrator's own) a Karpenter that
        comes later is noticed at the next start.
        """
        try:
            body = await self.cluster.find(DEFINITION, CLAIM_DEFINITION)
        except ClusterError as error:
            logger.warning("karpenter is not waited for", extra={"error": str(error)})
            return False
        self._known = _established(body or {})
        return True

    def heard(self, body: Manifest) -> None:
        """Take note of the definition as an event shows it; one that goes is no news."""
        uid = _established(body)
        if uid and uid != self._known:
            self._changed.set()

    async def start_over_when_changed(self) -> None:
        """
        Wait for another definition than the one that was read.

        Raises:
            StartOver: There is one.

        """
        await self._changed.wait()
        logger.info("node claims are served now", extra={"definition": CLAIM_DEFINITION})
        message = f"{CLAIM_DEFINITION} is served now"
        raise StartOver(message)


def _established(body: Manifest) -> str:
    """Return the uid of a definition that is served, else nothing."""
    metadata = section(body, "metadata")
    established = conditions(body).get("Established")
    if established is None or not established.is_true or metadata.get("deletionTimestamp"):
        return ""
    return text(metadata.get("uid"))
