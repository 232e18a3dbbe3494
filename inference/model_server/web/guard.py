"""
Ask every caller for a key, where keys are set; only probes need none.

It stands before the routes, so that a path that is added later is guarded too, and one that does
not exist does not tell so to a stranger. Must not import torch or transformers.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from model_server.api.errors import no_valid_key
from model_server.web.api_keys import ApiKeys
from model_server.web.refusal import refusal_response

OPEN_PATHS = frozenset({"/health", "/ready"})


class Guard:
    """Wrap an ASGI application."""

    def __init__(self, app: ASGIApp, keys: ApiKeys) -> None:
        """Keep what is inside, and who may come in."""
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        is_open = scope["type"] != "http" or scope["path"] in OPEN_PATHS
        if is_open or self._keys.admit(_authorization(scope["headers"])):
            await self._app(scope, receive, send)
        else:
            await refusal_response(no_valid_key())(scope, receive, send)


def _authorization(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    """Return the one Authorization header; two of them are none."""
    values = [value for name, value in headers if name == b"authorization"]
    return values[0] if len(values) == 1 else None
