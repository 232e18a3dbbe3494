"""
See a Node: whether it is ready, and how many GPUs a pod could be given there.

The GPU shows up in `allocatable` only when the device plugin on that node has registered with the
kubelet, minutes after the node itself is Ready: the two are kept apart.

Must not import anything above `snapshot`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from workspace_operator.snapshot.claims import INSTANCE_TYPE_LABEL
from workspace_operator.snapshot.reading import (
    Manifest,
    ObservedCondition,
    conditions,
    integer,
    mappings,
    moment,
    section,
    strings,
    text,
)

GPU_RESOURCE = "nvidia.com/gpu"
# Whole GPUs and slices of them.
GPU_PREFIX = "nvidia.com/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Hold what the cluster says about one node."""

    name: str
    deleting: bool = False
    created: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, ObservedCondition] = field(default_factory=dict)
    unschedulable: bool = False
    taints: tuple[str, ...] = ()
    devices: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, manifest: Manifest) -> Self:
        """Read a Node."""
        metadata = section(manifest, "metadata")
        spec = section(manifest, "spec")
        return cls(
            name=text(metadata.get("name")),
            deleting=bool(metadata.get("deletionTimestamp")),
            created=moment(metadata.get("creationTimestamp")),
            labels=strings(metadata.get("labels")),
            conditions=conditions(manifest),
            unschedulable=spec.get("unschedulable") is True,
            taints=tuple(
                f"{text(taint.get('key'))}={text(taint.get('value'))}:{text(taint.get('effect'))}"
                for taint in mappings(spec.get("taints"))
            ),
            devices={
                resource: integer(amount)
                for resource, amount in section(manifest, "status", "allocatable").items()
                if resource.startswith(GPU_PREFIX)
            },
        )

    @property
    def ready(self) -> bool:
        """Say whether the kubelet reports Ready and the node is not on its way out."""
        ready = self.conditions.get("Ready")
        return ready is not None and ready.is_true and not self.deleting

    @property
    def gpus(self) -> int:
        """Return how many whole GPUs a pod could be given."""
        return self.allocatable(GPU_RESOURCE)

    def allocatable(self, resource: str) -> int:
        """Return how much of a GPU resource a pod could be given."""
        return self.devices.get(resource, 0)

    @property
    def instance_type(self) -> str:
        """Return the cloud's name for the machine, or an empty string."""
        return self.labels.get(INSTANCE_TYPE_LABEL, "")

    @property
    def pressures(self) -> tuple[str, ...]:
        """Return the names of the resources that run short: DiskPressure, MemoryPressure."""
        return tuple(
            kind
            for kind in ("DiskPressure", "MemoryPressure", "PIDPressure")
            if kind in self.conditions and self.conditions[kind].is_true
        )
