"""
Count the processors that this process may use, and say how its threads share them.

A container that is limited to two processors still sees every processor of its node, and one
thread for each of those makes torch many times slower, not faster. So the limit of the control
group counts, beside the processors that the scheduler may place us on.

Two threads of one product may still find themselves on one processor, beside a neighbour or where
the kernel does not move them apart. Then one that waits by turning round (OpenMP's way, for
milliseconds) takes the time of the one that it waits for. So they wait shortly, and where there
are exactly as many processors as threads, each thread gets one of its own. Where there are more,
the kernel places them: two servers that bind themselves would choose the same ones.

Must not import torch.
"""

import math
import os
from collections.abc import Callable, MutableMapping
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
TASKS = Path("/proc/self/task")  # one folder for each thread of this process
# Turns before a waiting thread sleeps: some ten microseconds, longer than most pauses of a step.
# Source: https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html; docs/log.md, 2026-11-21.
SPIN_VARIABLE, SPIN_TURNS = "GOMP_SPINCOUNT", "10000"


def usable_processors(cgroup: Path = CGROUP) -> int:
    """Count them: the fewest that affinity and control group (version 2 or 1) allow."""
    allowed = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def spin_shortly(environment: MutableMapping[str, str]) -> None:
    """Tell OpenMP not to wait at a processor's cost, before torch loads it; a user's word stays."""
    environment.setdefault(SPIN_VARIABLE, SPIN_TURNS)


def spread_threads(compute: Callable[[], object], count: int) -> bool:
    """
    Bind the threads of a product to a processor each, where there are as many as processors.

    Args:
        compute: Makes the library start its threads for the calling thread, which has none yet.
        count: Threads of one product, the calling one among them.

    Returns:
        Whether they are bound. They are not where processors are more or fewer, or where other
        threads came at the same time, so that nobody can tell whose they are.
    """
    processors = sorted(os.sched_getaffinity(0))
    if count < 2 or len(processors) != count:  # noqa: PLR2004 - one thread has no other to avoid
        return False
    before = _threads()
    compute()
    started = sorted(_threads() - before)
    if len(started) != count - 1:
        return False
    for thread, processor in zip([0, *started], processors, strict=True):  # 0: the calling one
        os.sched_setaffinity(thread, {processor})
    return True


def _threads() -> set[int]:
    return {int(task.name) for task in TASKS.iterdir()}


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
