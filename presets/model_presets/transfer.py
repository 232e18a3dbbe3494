"""
Bring one file of a pinned revision, and never the same byte twice.

The hub's own client keeps the part of a file only for as long as its process lives. A pod's does
not: so the part lies in a file of its own that names the content it is of, and a later run asks for
the rest of it. What is whole by its size is moved into place; whether it is right is judged by
whoever knows its hash.

huggingface_hub and its HTTP client are imported where they are used: the operator's image carries
this file without them.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from model_presets.remote_file import RemoteFile

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Below the folder of weights, and gone when all of them are there.
PARTS = Path(".cache/parts")
CHUNK_BYTES = 1 << 20
# To connect, of silence in the middle of a file, to write, to wait for a connection that is free.
TIMEOUTS = (10.0, 60.0, 60.0, 60.0)
# A line that breaks after so much has been of use: the rest is asked for at once.
WORTH_GOING_ON_BYTES = 16 << 20
PARTIAL_CONTENT = 206


def transfer(
    api: "HfApi",
    repo: str,
    revision: str,
    file: RemoteFile,
    directory: Path,
    count: Callable[[int], None] = lambda _bytes: None,
) -> None:
    """
    Bring one file into a folder, or what of it is still missing.

    Args:
        api: The hub's client: its address, and who comes.
        repo: The hub's id.
        revision: The commit.
        file: Which file, with its size.
        directory: Where to.
        count: Is told of bytes as they arrive; may raise to stop.

    Raises:
        OSError: It cannot be written, or the hub gave another number of bytes.
        httpx2.HTTPError: The hub refused, or the line broke.
    """
    import httpx2  # noqa: PLC0415 - see the module's docstring

    target = directory / file.path
    if target.is_file() and target.stat().st_size == file.size:
        return
    part = directory / PARTS / f"{file.path}.{file.sha256 or file.blob_id}"
    part.parent.mkdir(parents=True, exist_ok=True)
    while True:
        before = _size(part)
        try:
            _receive(api, (repo, revision, file), part, count)
            break
        except httpx2.TransportError:
            if _size(part) - before < WORTH_GOING_ON_BYTES:
                raise
    size = _size(part)
    if size != file.size:
        part.unlink()
        count(-size)
        message = f"the hub gave {size} bytes of {file.path}, and states {file.size}"
        raise OSError(message)
    part.replace(target)


def _receive(
    api: "HfApi",
    what: tuple[str, str, RemoteFile],
    part: Path,
    count: Callable[[int], None],
) -> None:
    """Append to a part what the hub sends of the rest."""
    from huggingface_hub import get_session, hf_hub_url  # noqa: PLC0415 - see the docstring

    repo, revision, file = what
    have = _size(part)
    if have >= file.size:
        part.touch()
        return
    headers = {"Accept-Encoding": "identity"}
    if isinstance(api.token, str):
        headers["Authorization"] = f"Bearer {api.token}"  # a redirect to another host drops it
    if have:
        headers["Range"] = f"bytes={have}-"
    url = hf_hub_url(repo, file.path, revision=revision, endpoint=api.endpoint)
    with get_session().stream("GET", url, headers=headers, timeout=TIMEOUTS) as response:
        response.raise_for_status()
        goes_on = response.status_code == PARTIAL_CONTENT
        if have and not goes_on:
            count(-have)
        with part.open("ab" if goes_on else "wb") as stream:
            for chunk in response.iter_raw(CHUNK_BYTES):
                stream.write(chunk)
                count(len(chunk))


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
