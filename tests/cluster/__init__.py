"""
A throw-away Kubernetes for tests and the demo (see docs/cluster.md).

What the tests import stands here; the rest of the package is how it is done.
"""

from tests.cluster.binaries import binary, ensure
from tests.cluster.contexts import ForeignContextError, require_own_context
from tests.cluster.control_plane import CommandError, ControlPlane, control_plane
from tests.cluster.karpenter import (
    karpenter,
    karpenter_crds,
    make_node_ready,
    node_of_claim,
)

__all__ = [
    "CommandError",
    "ControlPlane",
    "ForeignContextError",
    "binary",
    "control_plane",
    "ensure",
    "karpenter",
    "karpenter_crds",
    "make_node_ready",
    "node_of_claim",
    "require_own_context",
]
