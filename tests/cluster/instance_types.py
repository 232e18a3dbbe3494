"""
The machines that the made-up cloud of Karpenter's kwok provider can launch.

Names and sizes are those of real GPU machines, so that a manifest written for a real cloud is
answered; prices are made up, in the order of real ones, since Karpenter sorts by them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

ZONE = "local-a"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceType:
    """One machine type on offer."""

    name: str
    cpus: int
    memory_gib: int
    gpus: int
    dollars_per_hour: float
    disk_gib: int = 1024
    pods: int = 110


# Source: the vendors' tables of machine sizes (vCPU, GiB of memory, GPUs), as of 2026-11.
GPU_INSTANCE_TYPES = (
    InstanceType(name="Standard_NC4as_T4_v3", cpus=4, memory_gib=28, gpus=1, dollars_per_hour=0.5),
    InstanceType(
        name="Standard_NV36ads_A10_v5", cpus=36, memory_gib=440, gpus=1, dollars_per_hour=3.2
    ),
    InstanceType(
        name="Standard_NC24ads_A100_v4", cpus=24, memory_gib=220, gpus=1, dollars_per_hour=3.7
    ),
    InstanceType(
        name="Standard_NC48ads_A100_v4", cpus=48, memory_gib=440, gpus=2, dollars_per_hour=7.3
    ),
    InstanceType(
        name="Standard_NC96ads_A100_v4", cpus=96, memory_gib=880, gpus=4, dollars_per_hour=14.7
    ),
    InstanceType(name="g5.xlarge", cpus=4, memory_gib=16, gpus=1, dollars_per_hour=1.0),
    InstanceType(name="a2-highgpu-1g", cpus=12, memory_gib=85, gpus=1, dollars_per_hour=3.6),
)


def kwok_instance_types(types: Iterable[InstanceType]) -> list[dict[str, Any]]:
    """Return what INSTANCE_TYPES_FILE_PATH wants. Source: karpenter v1.13.0, kwok/cloudprovider."""
    return [
        {
            "name": each.name,
            "architecture": "amd64",
            "operatingSystems": ["linux"],
            "resources": {
                "cpu": str(each.cpus),
                "memory": f"{each.memory_gib}Gi",
                "ephemeral-storage": f"{each.disk_gib}Gi",
                "pods": str(each.pods),
            }
            | ({"nvidia.com/gpu": str(each.gpus)} if each.gpus else {}),
            "offerings": [
                {
                    "Price": each.dollars_per_hour,
                    "Available": True,
                    "Requirements": [
                        _one_of("karpenter.sh/capacity-type", "on-demand"),
                        _one_of("topology.kubernetes.io/zone", ZONE),
                    ],
                }
            ],
        }
        for each in types
    ]


def _one_of(key: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": "In", "values": list(values)}
