"""
Name how fetching weights may end, one exit code for each cause that a person mends differently.

The command exits with them, and the operator reads them from the container: the contract between
the two is this file. Imports the standard library only.
"""

import errno
from enum import IntEnum, unique

# A disk that is full, or whose share of this user is used up.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@unique
class End(IntEnum):
    """Say why no weights came; 2 is argparse's, 126 and above are the shell's and the kernel's."""

    FAILED = 1
    NO_ACCESS = 10
    NOT_THERE = 11
    DISK_FULL = 12
    UNREACHABLE = 13
    WRONG_BYTES = 14


def is_full_disk(error: BaseException) -> bool:
    """Say whether something could not be written for want of room."""
    return isinstance(error, OSError) and error.errno in _FULL
