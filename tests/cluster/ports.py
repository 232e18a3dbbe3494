"""Find free TCP ports for several clusters on one machine."""

import random
import socket

# Below the range that the kernel takes ports of outgoing connections from (32768 and up) and below
# NodePorts (30000 and up): what is free now is still free when a server gets to listen on it.
FIRST, LAST = 20_000, 29_999


def free_ports(count: int, *, host: str = "127.0.0.1") -> list[int]:
    """Return that many different ports that nothing listens on."""
    found: list[int] = []
    for port in random.sample(range(FIRST, LAST + 1), LAST - FIRST + 1):
        if len(found) == count:
            return found
        if _is_free(host, port):
            found.append(port)
    raise OSError(f"fewer than {count} free ports on {host} in {FIRST}-{LAST}")


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
