"""
Look at the far end of each connection before a word is sent to it.

A name may answer with a public address when it is checked and with a private one a moment later,
when it is connected to; what counts is where the connection leads. Imports requests, which takes
its time: imported where it is used.
"""

from collections.abc import Callable

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


def checked_session(check: Callable[[str], None]) -> requests.Session:
    """
    Return a session that shows every address it has connected to before it asks there.

    Args:
        check: Raises what the request is to end with, where it must not go there.
    """

    class Connection(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            check(far_end(self))

    class TlsConnection(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            check(far_end(self))

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = TlsConnection

    session = requests.Session()
    session.trust_env = False  # behind a proxy the far end could not be seen
    adapter = HTTPAdapter()
    adapter.poolmanager.pool_classes_by_scheme = {"http": Pool, "https": TlsPool}
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def far_end(connection: HTTPConnection) -> str:
    """Return the address that an open connection leads to."""
    if connection.sock is None:
        raise ConnectionError("closed while it was opened")
    return str(connection.sock.getpeername()[0])
