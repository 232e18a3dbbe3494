"""
Kill the operator before and after every write that it makes, in eight situations, and judge the
rest.

A situation is first played without a fault: that is the reference, and its writes are counted. Then
it is played again for each write, twice: the operator dies of SIGKILL when the request is about to
reach the API server, and when the API server has answered and the operator does not know it. A new
process starts, and the oracles of `tests.world.oracles` compare what comes of it with the
reference.

`python -m tests.fault_table` plays all of it and writes the table in the README;
`tests/faults/test_kill_each_write.py` plays a part.
"""

from tests.fault_table.bench import Bench, open_bench
from tests.fault_table.cases import Case, Reference, play_case, play_reference
from tests.fault_table.scenarios import SCENARIOS, Scenario

__all__ = [
    "SCENARIOS",
    "Bench",
    "Case",
    "Reference",
    "Scenario",
    "open_bench",
    "play_case",
    "play_reference",
]
