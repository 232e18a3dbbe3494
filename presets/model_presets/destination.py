"""
Read where files go at a model hub: `owner/name`, or `owner/name@branch`.

Pure, since the operator reads it too. The pattern means the same to Python and to RE2.
"""

import re
from dataclasses import dataclass

DEFAULT_BRANCH = "main"
# Source: huggingface_hub, utils/_validators.py, validate_repo_id; a branch as git takes it.
_PART = "[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
PATTERN = f"^{_PART}/{_PART}(@[A-Za-z0-9][A-Za-z0-9._/-]{{0,99}})?$"
REMEDY = "write owner/name or owner/name@branch"


class InvalidDestination(Exception):
    """Say what a text lacks to name a repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Hold where files go: a repository, and a branch of it."""

    repo: str
    branch: str = DEFAULT_BRANCH

    def __str__(self) -> str:
        """Write it as it is read."""
        return self.repo if self.branch == DEFAULT_BRANCH else f"{self.repo}@{self.branch}"


def read_destination(text: str) -> Destination:
    """
    Read a destination.

    Raises:
        InvalidDestination: when it is none.
    """
    if re.search(PATTERN, text) is None:
        raise InvalidDestination(f"{text!r}: no repository of a hub; {REMEDY}")
    repo, _, branch = text.partition("@")
    return Destination(repo=repo, branch=branch or DEFAULT_BRANCH)
