"""
Name what an administrator may choose from.

Must not import anything of this package.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class NodeProvisioner(StrEnum):
    """Say who brings nodes."""

    KARPENTER = "karpenter"
    BYO = "byo"


class Probe(StrEnum):
    """Say how a pod is asked whether it serves."""

    DIRECT = "direct"
    READINESS = "readiness"


class Cloud(StrEnum):
    """Name the profile of node classes."""

    AZURE = "azure"
    AWS = "aws"
    GCP = "gcp"
    KWOK = "kwok"


class PullPolicy(StrEnum):
    """Say when the kubelet pulls the model's image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class LogLevel(StrEnum):
    """Name the least severe event that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeClass:
    """Point at the cloud's half of a NodeClaim: image, network, disks."""

    group: str
    kind: str
    name: str


# Source: the providers' CustomResourceDefinitions; for azure, KAITO's own class.
NODE_CLASSES: Mapping[Cloud, NodeClass] = {
    Cloud.AZURE: NodeClass(group="kaito.sh", kind="KaitoNodeClass", name="default"),
    Cloud.AWS: NodeClass(group="karpenter.k8s.aws", kind="EC2NodeClass", name="default"),
    Cloud.GCP: NodeClass(group="karpenter.k8s.gcp", kind="GCENodeClass", name="default"),
    Cloud.KWOK: NodeClass(group="karpenter.kwok.sh", kind="KWOKNodeClass", name="default"),
}
