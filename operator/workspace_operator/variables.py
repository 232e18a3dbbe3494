"""
Parse the value of one environment variable, and refuse a bad one by name, value and remedy.

Must not import anything of this package but the figures, nor read the environment.
"""

import json
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from string import Formatter
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from workspace_operator.figures import BadFigures, Figures, read_figures

MAX_PORT = 65535
PEER_FIELDS = frozenset({"ipBlock", "namespaceSelector", "podSelector"})
IMAGE_PLACEHOLDERS = frozenset({"preset", "version"})


class BadSetting(ValueError):
    """Say which variable is wrong, what it held, and what would be right."""

    def __init__(self, variable: str, value: str, remedy: str) -> None:
        """Keep the variable's name apart for the caller."""
        super().__init__(f"{variable}={value!r}: {remedy}")
        self.variable = variable


def choice(variable: str, text: str, values: type[StrEnum]) -> StrEnum:
    """Return the member of an enumeration."""
    try:
        return values(text)
    except ValueError:
        raise BadSetting(variable, text, f"use one of {', '.join(values)}") from None


def boolean(variable: str, text: str) -> bool:
    """Return true or false."""
    if text.lower() not in {"true", "false"}:
        raise BadSetting(variable, text, "use true or false")
    return text.lower() == "true"


def seconds(variable: str, text: str) -> int:
    """Return a whole number of seconds, at least 1."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise BadSetting(variable, text, "use a whole number of seconds, at least 1")
    return int(text)


def port(variable: str, text: str) -> int:
    """Return a port."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= MAX_PORT):
        raise BadSetting(variable, text, f"use a port from 1 to {MAX_PORT}")
    return int(text)


def image(variable: str, text: str) -> str:
    """Return an image reference with known placeholders only."""
    try:
        names = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    except ValueError:
        names = {"?"}
    if not names <= IMAGE_PLACEHOLDERS:
        remedy = "use an image reference whose only placeholders are {preset} and {version}"
        raise BadSetting(variable, text, remedy)
    return text


def digests(variable: str, text: str) -> Mapping[str, str]:
    """Return the digest of each preset that is named."""
    pairs = dict(re.findall(r"([^=,]+)=(sha256:[0-9a-f]{64})(?:,|$)", text))
    if ",".join("=".join(pair) for pair in pairs.items()) != text:
        remedy = "use preset=sha256:... (64 hex digits), with commas between"
        raise BadSetting(variable, text, remedy)
    return MappingProxyType(pairs)


def hosts(variable: str, text: str) -> frozenset[str]:
    """Return registries, each as an image's name begins with it."""
    found = text.split(",")
    if not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?", each) for each in found):
        raise BadSetting(variable, text, "use host or host:port, with commas between")
    return frozenset(found)


def directory(variable: str, text: str) -> Path:
    """Return an existing directory."""
    path = Path(text)
    if not path.is_dir():
        raise BadSetting(variable, text, "name an existing directory of preset files, or unset it")
    return path


def address(variable: str, text: str) -> str:
    """Return the address of a service."""
    try:
        parts = urlsplit(text)
        named = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        plain = not (parts.username or parts.password or parts.query or parts.fragment)
    except ValueError:  # a port that is none
        named = plain = False
    if not (named and plain):
        remedy = "use an address such as https://hub.example:8443, without user and query"
        raise BadSetting(variable, text, remedy)
    return text.rstrip("/")


def peers(variable: str, text: str) -> tuple[Mapping[str, Any], ...]:
    """Read peers; what is in them is for the API server to judge."""
    try:
        peers = json.loads(text)
    except ValueError:
        peers = None
    if not isinstance(peers, list) or not all(
        isinstance(peer, dict) and peer.keys() and peer.keys() <= PEER_FIELDS for peer in peers
    ):
        remedy = f"use a JSON list of objects with {', '.join(sorted(PEER_FIELDS))}"
        raise BadSetting(variable, text, remedy)
    return tuple(peers)


def text(_variable: str, value: str) -> str:
    """Return the value as it is."""
    return value


def one_of(values: type[StrEnum]) -> Callable[[str, str], StrEnum]:
    """Return the parser of an enumeration."""
    return lambda variable, text: choice(variable, text, values)


def figures(variable: str, value: str) -> Figures:
    """Return the figures of a file: prices, and minutes that phases are expected to take."""
    try:
        return read_figures(Path(value).read_text(encoding="utf-8"))
    except (OSError, BadFigures) as problem:
        raise BadSetting(variable, value, f"name a file of figures: {problem}") from problem
