"""
See a NodeClaim: how far Karpenter has come with one machine.

Karpenter reports in three conditions that become true one after the other: Launched, Registered,
Initialized; Ready is their sum. Where one is not true, its reason and message are the only words
that exist about a missing machine, and Karpenter deletes the claim soon after, so they are kept.

Must not import anything above `snapshot`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from workspace_operator.snapshot.reading import (
    Manifest,
    ObservedCondition,
    conditions,
    mappings,
    moment,
    section,
    strings,
    text,
)

# In the order in which Karpenter makes them true.
# Source: kubernetes-sigs/karpenter, pkg/controllers/nodeclaim/lifecycle, 2026-08.
CLAIM_STEPS = ("Launched", "Registered", "Initialized")

INSTANCE_TYPE_LABEL = "node.kubernetes.io/instance-type"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeClaim:
    """
    Hold what the cluster says about one claim.

    `writers` are the programs that wrote its spec or metadata, as the API server keeps them; none
    where somebody wiped that out.
    """

    name: str
    uid: str
    deleting: bool
    deleting_since: datetime | None = None
    finalizers: tuple[str, ...] = ()
    created: datetime | None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    writers: frozenset[str] = frozenset()
    conditions: Mapping[str, ObservedCondition] = field(default_factory=dict)
    node_name: str = ""
    provider_id: str = ""
    instance_type: str = ""

    @classmethod
    def parse(cls, manifest: Manifest) -> Self:
        """Read a karpenter.sh/v1 NodeClaim."""
        metadata = section(manifest, "metadata")
        status = section(manifest, "status")
        labels = strings(metadata.get("labels"))
        return cls(
            name=text(metadata.get("name")),
            uid=text(metadata.get("uid")),
            deleting=bool(metadata.get("deletionTimestamp")),
            deleting_since=moment(metadata.get("deletionTimestamp")),
            finalizers=tuple(map(text, metadata.get("finalizers") or ())),
            created=moment(metadata.get("creationTimestamp")),
            labels=labels,
            annotations=strings(metadata.get("annotations")),
            writers=frozenset(
                text(entry.get("manager"))
                for entry in mappings(metadata.get("managedFields"))
                if not entry.get("subresource")
            ),
            conditions=conditions(manifest),
            node_name=text(status.get("nodeName")),
            provider_id=text(status.get("providerID")),
            instance_type=labels.get(INSTANCE_TYPE_LABEL) or _asked_type(manifest),
        )

    @property
    def ready(self) -> bool:
        """Say whether the machine is there with everything that the claim asked for."""
        ready = self.conditions.get("Ready")
        if ready is not None:
            return ready.is_true
        return self.obstacle is None

    @property
    def obstacle(self) -> ObservedCondition | None:
        """Return the first step that is not true yet; its status is empty if nobody wrote it."""
        for step in CLAIM_STEPS:
            condition = self.conditions.get(step)
            if condition is None or not condition.is_true:
                return condition or ObservedCondition(type=step, status="")
        return None


def _asked_type(manifest: Manifest) -> str:
    for requirement in mappings(section(manifest, "spec").get("requirements")):
        if requirement.get("key") == INSTANCE_TYPE_LABEL:
            values = requirement.get("values")
            if isinstance(values, list) and len(values) == 1:
                return text(values[0])
    return ""
