"""
Find the registry in an image's name: who is spoken to decides how, and through which port.

Must not import anything of this package.
"""

import re

DEFAULT_REGISTRY = "docker.io"
HTTPS_PORT = 443
HTTP_PORT = 80
MAX_PORT = 65535

# The first part of a name with a dot or a port in it, or localhost; else there is none in it.
# Source: distribution/reference, docs of the grammar.
_REGISTRY = re.compile(r"([^/]*[.:][^/]*|localhost)/")
_PORT = re.compile(r":(\d{1,5})$")


def registry_of(image: str) -> str:
    """Return the registry of an image as `host` or `host:port`."""
    found = _REGISTRY.match(image)
    return found[1] if found else DEFAULT_REGISTRY


def port_of(host: str) -> int | None:
    """Return the port in `host:port`; None where there is none, or no port has that number."""
    found = _PORT.search(host)
    port = int(found[1]) if found else 0
    return port if 0 < port <= MAX_PORT else None
