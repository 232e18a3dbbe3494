"""
Judge what an operator did, after the fact and from outside.

    E  end_state   the state in the end is that of a run without faults
    C  tally       so are the numbers of creations and deletions, object by object
    Q  quiet       and then the operator writes nothing more
    S  honest      every status on the way was true, well formed and worth a write
    G  bounded     at no revision of etcd were there more machines than were asked for

Each is a function over what was recorded, and `tests/faults/test_oracles.py` shows each of them
fail. Source of E and C: Sieve (OSDI 2022), whose two oracles they are.
"""

from tests.world.oracles.bounded import too_many_claims
from tests.world.oracles.end_state import end_state
from tests.world.oracles.honest import dishonest_statuses, repeated_announcements
from tests.world.oracles.quiet import late_writes
from tests.world.oracles.tally import tally

__all__ = [
    "dishonest_statuses",
    "end_state",
    "late_writes",
    "repeated_announcements",
    "tally",
    "too_many_claims",
]
