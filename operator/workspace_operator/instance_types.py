"""
Know which GPUs a cloud's machine has, so that a plan can be checked before money is spent.

The table lies beside this file as data (`instance_types.yaml`) with the source of every fact. It is
a help, not a gate: a machine that is not in it is still bought, only its memory fit stays unknown.

Invariant: names of instance types are unique over all clouds, so a type is found without its cloud.
Must not import anything of this package.
"""

import difflib
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """
    Describe one GPU as CUDA sees it.

    Attributes:
        name: The name that people use, such as A100-80GB.
        memory_gib: Memory by the maker's name for it.
        usable_bytes: Memory that CUDA reports as total.
        bandwidth_bytes_per_second: Speed at which weights can be read.
        bfloat16: Whether it computes in BF16.
    """

    name: str
    memory_gib: int
    usable_bytes: int
    bandwidth_bytes_per_second: int
    bfloat16: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceType:
    """Describe one machine of a cloud."""

    name: str
    cloud: str
    gpu: Gpu
    gpu_count: int


def find(name: str) -> InstanceType | None:
    """Return what is known about an instance type, of whichever cloud."""
    return _TABLE.get(name)


def doubt(name: str, cloud: str | None) -> str:
    """
    Say why a machine may never come: another cloud has it, or its name is nearly a known one.

    The table is not complete, so of a name that is not in it, and is like none, nothing is said.

    Args:
        name: The instance type that was asked for.
        cloud: Where machines are asked for; none where nobody knows.
    """
    known = _TABLE.get(name)
    if known is not None:
        if known.cloud == cloud or not of_cloud(cloud or ""):
            return ""
        return (
            f"{name} is a machine of {known.cloud}, and this operator asks {cloud} for machines; "
            f"did you mean one of {cloud}, or none, so that one is chosen?"
        )
    lowered = {known.lower(): known for known in _TABLE}
    near = difflib.get_close_matches(name.lower(), lowered, n=2, cutoff=0.8)
    if not near:
        return ""
    return f"{name} is not known here; did you mean {' or '.join(lowered[each] for each in near)}?"


def of_cloud(cloud: str) -> tuple[InstanceType, ...]:
    """Return a cloud's machines, those with the least GPU memory in total first."""
    known = (machine for machine in _TABLE.values() if machine.cloud == cloud)
    return tuple(
        sorted(known, key=lambda machine: machine.gpu_count * machine.gpu.memory_gib)
    )  # the sort is stable: the table lists the cheaper machine first


def _read_table() -> dict[str, InstanceType]:
    raw: Any = yaml.safe_load(
        resources.files("workspace_operator")
        .joinpath("instance_types.yaml")
        .read_text(encoding="utf-8")
    )
    gpus = {
        name: Gpu(
            name=name,
            memory_gib=facts["memory_gib"],
            usable_bytes=int(facts["usable_gib"] * GIB),
            bandwidth_bytes_per_second=facts["bandwidth_gb_s"] * 10**9,
            bfloat16=facts["bfloat16"],
        )
        for name, facts in raw["gpus"].items()
    }
    return {
        name: InstanceType(name=name, cloud=cloud, gpu=gpus[gpu], gpu_count=count)
        for cloud, machines in raw["clouds"].items()
        for name, (gpu, count) in machines.items()
    }


_TABLE = _read_table()
