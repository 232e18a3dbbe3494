"""
Count the processors that this process may use.

A container that is limited to two processors still sees every processor of its node, and one
thread for each of those makes torch many times slower, not faster. So the limit of the control
group counts, beside the processors that the scheduler may place us on.

Must not import torch.
"""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_processors(cgroup: Path = CGROUP) -> int:
    """Count them: the fewest that affinity and control group (version 2 or 1) allow."""
    allowed = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """Read the limit in processors; None without one."""
    try:
        if (cgroup / "cpu.max").exists():
            limit, period = (cgroup / "cpu.max").read_text().split()
        else:
            limit = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
    except OSError:
        return None
    if limit in {"max", "-1"}:
        return None
    return int(limit) / int(period)
