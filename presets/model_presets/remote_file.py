"""
Say what a model hub states of one file, for those who ask for it, bring it and judge it.

Must not import anything of this package.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """
    Hold what the hub says of one file.

    Attributes:
        path: Its name in the repository.
        size: Bytes.
        sha256: Of the content, for a large file; none for one that git keeps itself.
        blob_id: Git's id of the content, 40 hexadecimal digits, where `sha256` is none.
    """

    path: str
    size: int
    sha256: str | None
    blob_id: str | None = None
