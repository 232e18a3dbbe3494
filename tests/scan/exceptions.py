"""Argue each finding that stays. There may be three, and each must still be found."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Hold one finding that stays: the names that scanners give it, and why it stays."""

    names: frozenset[str]
    why: str


EXCEPTIONS = (
    Accepted(
        names=frozenset({"CKV_K8S_11", "CPU limit is not set"}),
        why="A CPU limit stops a process in the midst of its work although the CPU is free: the"
        " operator would miss the renewal of its Lease, and a model the feeding of its GPU. Both"
        " have a CPU request, which is what the scheduler and the kernel share by.",
    ),
    Accepted(
        names=frozenset({"ImagePullPolicy is not set to Always"}),
        why="Release images are named by digest, so pulling again brings the same bytes; it would"
        " only make a restart depend on the registry, which for an image of 20 GB on a GPU node is"
        " the wrong dependency. Who shares nodes between tenants sets image.pullPolicy and"
        " presetImagePullPolicy to Always.",
    ),
)
