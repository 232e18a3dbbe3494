"""
Workspaces for tests: good ones, and a table of bad ones with what each must be told.

The table is put to the parser and to the API server, which must agree, and `page` writes
docs/rules.md from it. BAD are objects that the definition refuses, CHANGES what it refuses of an
object that is there, JUDGED what the chart's admission policies refuse or warn of.
"""

from tests.workspaces.bad import BAD
from tests.workspaces.changes import ALSO_FREE, CHANGES
from tests.workspaces.good import GOOD, INFERENCE, NOT_IN_ALPHA, TUNING, merged
from tests.workspaces.judged import JUDGED
from tests.workspaces.row import Bad, Change, Judged

__all__ = [
    "ALSO_FREE",
    "BAD",
    "CHANGES",
    "GOOD",
    "INFERENCE",
    "JUDGED",
    "NOT_IN_ALPHA",
    "TUNING",
    "Bad",
    "Change",
    "Judged",
    "merged",
]
