"""
Hold the reasons that only Events tell: a volume, a network, a probe, a pod that had to leave.

The rules of `reasons` hold here too.
Must not import anything of this package but the spelling of conditions and `finding`.
"""

from workspace_operator.status.finding import Reason

VOLUME_NOT_MOUNTED = Reason(
    word="VolumesMissing",
    sentence="Pod {pod} waits on node {node} for a volume: {quote}. It goes on by itself when that "
    "is mended; details: kubectl describe pod {pod}.",
    phase="MountingVolumes",
    failed=True,
)
SANDBOX_FAILED = Reason(
    word="PodSandboxFailed",
    sentence="Node {node} cannot set up pod {pod} ({word}): {quote}. It is tried again; should it "
    "stay so, look at the network plugin and the container runtime of that node.",
    phase="Scheduling",
    failed=True,
)
NOT_HEALTHY = Reason(
    word="PodNotHealthy",
    sentence="Pod {pod} runs and is not ready: {quote}. Details: kubectl logs {pod}.",
    phase="StartingServer",
)
PREEMPTED = Reason(
    word="PodPreempted",
    sentence="Pod {before} had to leave node {left} ({word}: {quote}), and pod {pod} fits on no "
    "node: {verdict}. It starts by itself when a GPU is free.",
    phase="Scheduling",
)
