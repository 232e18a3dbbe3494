"""
Workspaces for tests: good ones, and a table of bad ones with what each must be told.

The table of bad ones is put to the parser and to the API server, which must agree.
"""

from tests.workspaces.bad import BAD, Bad
from tests.workspaces.good import GOOD, INFERENCE, NOT_IN_ALPHA, TUNING, merged

__all__ = ["BAD", "GOOD", "INFERENCE", "NOT_IN_ALPHA", "TUNING", "Bad", "merged"]
