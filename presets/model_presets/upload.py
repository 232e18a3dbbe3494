"""
Put files of a folder into a repository of a model hub, as one commit on a branch.

What goes there may have been learned from data that is nobody else's business: a repository that is
made here is private, one that is there already keeps its visibility. Whether the token may write is
asked before the hours of work whose result is to be written. A commit is all or nothing; one whose
answer was lost is not made twice, since the hub is asked first which files it has already.

The files go by the hub's LFS protocol over HTTPS, not by the one of huggingface_hub's companion
hf_xet: an adapter is small, and this is the one that the tests play.

huggingface_hub is imported where it is used, as in `hub`.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from model_presets.destination import DEFAULT_BRANCH, Destination
from model_presets.hub import Patience, Report, attempt, in_a_line, open_hub

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# About a quarter of an hour: a GPU that waits costs less than the training once more.
ATTEMPTS = 10
# Of the client's errors those that a moment later may not be: a time-out, another commit at the
# same time, a lock, too many requests.
PASSING = {408, 409, 412, 423, 425, 429}

Result = TypeVar("Result")


class UploadFailed(Exception):
    """Say which repository could not be written; another try later may do."""


class UploadRefused(UploadFailed):
    """Say which repository cannot be written so, and what to change."""


def prepare(
    destination: Destination,
    *,
    endpoint: str | None = None,
    token: str | None = None,
    report: Report = print,
) -> "HfApi":
    """
    Make the repository and the branch where they are missing, and see that they may be written.

    Args:
        destination: What to write to.
        endpoint: Address of the hub; none for the public one.
        token: Who writes.
        report: Takes a line for each try that failed.

    Returns:
        The hub's client, for `upload`.

    Raises:
        UploadRefused: when the hub does not let this token write, or not so.
        UploadFailed: when the hub cannot be reached after several tries.
    """
    _refuse_offline(destination)
    if not token:
        raise UploadRefused(f"{destination}: no token; give one that may write to it")
    api = open_hub(endpoint, token)

    def ask() -> None:
        api.create_repo(destination.repo, private=True, exist_ok=True)
        api.auth_check(destination.repo, write=True)
        if destination.branch != DEFAULT_BRANCH:
            api.create_branch(destination.repo, branch=destination.branch, exist_ok=True)

    _insist(ask, destination, report)
    return api


def upload(
    api: "HfApi",
    directory: Path,
    names: Iterable[str],
    destination: Destination,
    *,
    message: str,
    report: Report = print,
) -> str:
    """
    Commit files of a folder.

    Args:
        api: The hub's client, from `prepare`.
        directory: The folder.
        names: Which of its files; they get the same names there.
        destination: Where to.
        message: Of the commit.
        report: Takes a line for each try that failed.

    Returns:
        The id of the commit; of the last one, where the files are there already.

    Raises:
        UploadRefused: when the hub does not take them.
        UploadFailed: when the hub cannot be reached after several tries.
    """
    commit = partial(_commit, api, directory, sorted(names), destination, message)
    return _insist(commit, destination, report)


def _commit(
    api: "HfApi", directory: Path, names: Iterable[str], destination: Destination, message: str
) -> str:
    from huggingface_hub import CommitOperationAdd  # noqa: PLC0415 - see the module's docstring

    with ExitStack() as opened:
        # An open file, not a path, goes by LFS whatever is installed.
        operations = [
            CommitOperationAdd(name, opened.enter_context((directory / name).open("rb")))
            for name in names
        ]
        done = api.create_commit(
            destination.repo,
            operations,
            commit_message=message,
            revision=destination.branch,
        )
    return str(done.oid)


def _insist(action: Callable[[], Result], destination: Destination, report: Report) -> Result:
    """Try until it is done, and say what the client's own words for a refusal mean here."""

    def unwrapped() -> Result:
        try:
            return action()
        except RuntimeError as error:  # the client wraps what an upload met
            if isinstance(error.__cause__, Exception):
                raise error.__cause__ from error
            raise

    try:
        return attempt(unwrapped, str(destination), report, UPLOADING)
    except ValueError as error:  # the client's own checks, and errors that the hub lists by file
        raise UploadRefused(f"{destination}: {in_a_line(error)}") from error


def _refuse_offline(destination: Destination) -> None:
    from huggingface_hub import constants  # noqa: PLC0415 - see the module's docstring

    if constants.HF_HUB_OFFLINE:
        raise UploadRefused(f"{destination}: HF_HUB_OFFLINE is set; set it to 0 to upload")


def _remedy(status: int) -> str:
    match status:
        case 401:
            return "HTTP 401: the hub does not know this token; give a valid one"
        case 403:
            return "HTTP 403: this token may not write there; give one that may, or another name"
        case 404:
            return "HTTP 404: not there, and not made; check owner, name and the token's rights"
        case 402 | 413:
            return f"HTTP {status}: the owner's storage does not take it; make room at the hub"
        case _:
            return f"HTTP {status}: the hub does not take it so"


UPLOADING = Patience(
    attempts=ATTEMPTS,
    refused=UploadRefused,
    failed=UploadFailed,
    is_final=lambda status: 400 <= status < 500 and status not in PASSING,  # noqa: PLR2004 - a client's errors
    remedy=_remedy,
)
