"""
Two replicas, and the holder of the Lease is frozen at random: nobody else ever writes (goal G6).

The proxies of both are asked who wrote while whose name stood in the Lease, write by write;
`make bench-operator` does the same 200 times.
"""

import asyncio

import pytest

from benchmarks.freezes import LONG_EVERY, freezes
from benchmarks.operator import plane_for

FREEZES = 20
TAKE_OVER_SECONDS = 20.0

pytestmark = [pytest.mark.large, pytest.mark.apiserver, pytest.mark.timeout(1200)]


def test_of_two_replicas_only_the_holder_writes_however_it_is_frozen() -> None:
    """Fault 25, goal G6."""
    with plane_for(f"{FREEZES} freezes") as plane:
        seen = asyncio.run(freezes(plane, FREEZES))
    assert seen["intruders"] == []
    assert seen["writes"] > 10 * FREEZES, "there was always something to write"
    assert seen["take_overs"] >= FREEZES // LONG_EVERY
    assert seen["longest_take_over_seconds"] <= TAKE_OVER_SECONDS
