"""
Download training data from public addresses, and refuse what a public address cannot be.

A Workspace may be written by somebody who should not reach the cluster's own network through a pod
of ours: so an address that resolves to a loopback, private or link-local one (a metadata service)
is refused, a redirect is checked like an address of its own, and so is the far end of each
connection, since a name may resolve to something else a moment later. A file counts as there only
when it is whole.
"""

import ipaddress
import logging
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

from model_presets.hub import retry_after_seconds

from model_tuning.examples import InvalidData

logger = logging.getLogger("model_tuning")

ATTEMPTS = 5
FIRST_WAIT_SECONDS = 1.0  # doubled each time, so that a server has 15 s to come back
LONGEST_WAIT_SECONDS = 60.0
REDIRECTS = 5
TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 1 << 20

Resolve = Callable[[str, int], list[str]]
IsPublic = Callable[[str], bool]
Wait = Callable[[float], None]


def is_public(address: str) -> bool:
    """Say whether an address is one of the internet's: not loopback, private or link-local."""
    return ipaddress.ip_address(address.partition("%")[0]).is_global


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(entry[4][0]) for entry in found})


def fetch_urls(
    urls: Sequence[str],
    directory: Path,
    look_up: Resolve = resolve,
    allows: IsPublic = is_public,
    wait: Wait = time.sleep,
) -> None:
    """
    Download every address into a folder, each under the last part of its path.

    Args:
        urls: Public http or https addresses.
        directory: Where to; made when it is missing.
        look_up: Turns a host into addresses.
        allows: Judges the address that a connection leads to.
        wait: Waits some seconds before another try: a doubling time, or what the server asks for.

    Raises:
        InvalidData: names the address that is refused or could not be had.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for number, url in enumerate(urls):
        name = PurePosixPath(unquote(urlsplit(url).path)).name or f"data-{number}"
        target = directory / name
        if target.exists():
            target = directory / f"{number}-{name}"
        _fetch(url, target, look_up, allows, wait)
        logger.info("fetched %s, %d bytes", target.name, target.stat().st_size)


def refuse_private(url: str, look_up: Resolve) -> None:
    """
    Refuse an address that is no public one.

    Raises:
        InvalidData: names the address, and why.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidData(f"tuning.input.urls: {url}: must use HTTP or HTTPS")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = look_up(parts.hostname, port)
    except OSError as error:
        raise InvalidData(f"tuning.input.urls: {url}: {error}; check the host name") from error
    for address in found:
        _refuse_unless(is_public, url, address)


def _refuse_unless(allows: IsPublic, url: str, address: str) -> None:
    if not allows(address):
        raise InvalidData(
            f"tuning.input.urls: {url}: {address} is a loopback, private, or link-local "
            "address; use a volume or an image for data inside the cluster"
        )


def _fetch(url: str, target: Path, look_up: Resolve, allows: IsPublic, wait: Wait) -> None:
    import requests  # noqa: PLC0415 - oras's client

    last, wait_seconds = "", FIRST_WAIT_SECONDS
    for number in range(1, ATTEMPTS + 1):
        asked = 0.0
        try:
            _stream(url, target, look_up, allows)
        except requests.HTTPError as error:
            status = getattr(error.response, "status_code", 0)
            asked = retry_after_seconds(getattr(error.response, "headers", {}))
            last = f"HTTP {status}"
            if 400 <= status < 500 and status != 429:  # noqa: PLR2004 - it will not pass
                break
        except (requests.RequestException, OSError) as error:
            last = f"{type(error).__name__}, {number} times"
        else:
            return
        if number < ATTEMPTS:
            pause = min(max(wait_seconds, asked), LONGEST_WAIT_SECONDS)
            logger.info("%s: %s; again in %.0f s", target.name, last, pause)
            wait(pause)
            wait_seconds *= 2
    raise InvalidData(f"tuning.input.urls: {url}: {last}; check the address")


def _stream(url: str, target: Path, look_up: Resolve, allows: IsPublic) -> None:
    import requests  # noqa: PLC0415 - oras's client

    from model_tuning.checked_session import checked_session  # noqa: PLC0415 - the same

    for _ in range(REDIRECTS + 1):
        refuse_private(url, look_up)
        with (
            checked_session(partial(_refuse_unless, allows, url)) as session,
            session.get(url, stream=True, timeout=TIMEOUT_SECONDS, allow_redirects=False) as answer,
        ):
            if answer.is_redirect:
                url = urljoin(url, answer.headers["Location"])
                continue
            answer.raise_for_status()
            part = target.with_name(f".{target.name}.part")
            with part.open("wb") as file:
                for chunk in answer.iter_content(CHUNK_BYTES):
                    file.write(chunk)
            expected = answer.headers.get("Content-Length")
            if expected and "Content-Encoding" not in answer.headers:
                have = part.stat().st_size
                if have != int(expected):
                    raise requests.ConnectionError(f"{have} of {expected} bytes")
            part.replace(target)
            return
    raise InvalidData(f"tuning.input.urls: {url}: more than {REDIRECTS} redirects")
