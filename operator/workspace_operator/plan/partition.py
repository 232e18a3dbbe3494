"""
Give a pod a share of a node's GPUs instead of all of them (`resource.partition`), on brought nodes.

    mode mig           one slice: the pod asks for nvidia.com/mig-<profile>
    mode accelerator   so many whole GPUs: nvidia.com/gpu

A machine that is bought is bought for one Workspace, so there is nobody to share it with: there a
partition is refused, as KAITO refuses it.

Must not import the other files of `plan` but the refusal and the template.
"""

from dataclasses import dataclass

from workspace_operator.api import Workspace
from workspace_operator.instance_types import GIB, Gpu
from workspace_operator.plan.refusal import PlanError
from workspace_operator.plan.template import GPU_RESOURCE
from workspace_operator.settings import NodeProvisioner, Settings

# A profile is named for its memory rounded up: 1g.5gb has 4.75 GiB, 3g.40gb 39.25, 1g.18gb 16.0.
# Source: NVIDIA Multi-Instance GPU User Guide, tables of `nvidia-smi mig -lgip`; the least share of
# these with a margin, for what the context takes.
USABLE_SHARE = 0.88
# A slice gets its share of the memory's channels. Source: NVIDIA's data sheet of the A100 80 GB,
# the slowest of the GPUs with MIG by this measure: 1,935 GB/s for 80 GB.
BANDWIDTH_PER_GB = 24 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """
    Hold what a pod is given of a node.

    Attributes:
        resource: The name by which a node shows it.
        count: How much of it.
        gpu: What is known of it; none for whole GPUs of a kind that nobody named.
    """

    resource: str
    count: int
    gpu: Gpu | None


def share(workspace: Workspace, settings: Settings) -> Share | None:
    """
    Return the share that the user asks for, or None where the pod takes the whole node.

    Raises:
        PlanError: Nodes are bought, so there is nothing to share.
    """
    asked = workspace.resource.partition
    if asked is None:
        return None
    if settings.node_provisioner is not NodeProvisioner.BYO:
        raise PlanError(
            "PartitionNotOffered",
            f"resource.partition: mode {asked.mode} is not offered where nodes are bought: "
            "GPU partitioning is only supported with BYO nodes (nodeProvisioner: byo); "
            "take an instance type with a smaller GPU in a Workspace without partition",
        )
    if asked.mode == "accelerator":
        return Share(resource=GPU_RESOURCE, count=asked.count or 1, gpu=None)
    profile = asked.profile or ""
    return Share(resource=f"nvidia.com/mig-{profile}", count=1, gpu=_slice(profile))


def _slice(profile: str) -> Gpu:
    """Describe a slice such as 3g.40gb by its name; every GPU that can be cut computes in BF16."""
    size = int(profile.partition(".")[2].removesuffix("gb"))
    return Gpu(
        name=f"MIG {profile}",
        memory_gib=size,
        usable_bytes=int(size * USABLE_SHARE * GIB),
        bandwidth_bytes_per_second=size * BANDWIDTH_PER_GB,
        bfloat16=True,
    )
