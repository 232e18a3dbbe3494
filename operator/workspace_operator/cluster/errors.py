"""
Name what can go wrong between us and the API server, so that callers decide by type.

    ClusterError
    |- Conflict      409: somebody else wrote, or the object is of another life (uid)
    |- Gone          404: the object, its namespace or its kind is not there
    |- Throttled     429: come back after `retry_after_seconds`
    |- Forbidden     401, 403: `causes` tell RBAC, quota and a terminating namespace apart
    |- Invalid       400, 422 and other 4xx: the same request will never succeed
    `- Unreachable   5xx, 410, time-outs, broken connections: nobody knows what became of a write

Every message reads "VERB path: what the server said".
Must not import anything of this package.
"""

from collections.abc import Mapping
from typing import Any

STALE_CREDENTIALS = "Unauthorized"
NAMESPACE_TERMINATING = "NamespaceTerminating"
NAMESPACES = "namespaces"


class ClusterError(Exception):
    """Carry what was asked and what was answered."""

    def __init__(self, request: str, message: str) -> None:
        """Join both into one sentence."""
        super().__init__(f"{request}: {message}")
        self.request = request
        self.message = message


class Conflict(ClusterError):
    """Somebody else wrote first, or the object belongs to another life; read again."""


class Gone(ClusterError):
    """What was named does not exist."""

    def __init__(self, request: str, message: str, what: str = "") -> None:
        """Keep the plural of the kind that the API server says is missing."""
        super().__init__(request, message)
        self.what = what

    @property
    def namespace_is_gone(self) -> bool:
        """Tell a namespace that does not exist from an object that does not."""
        return self.what == NAMESPACES


class Invalid(ClusterError):
    """The API server will never accept this request."""


class Unreachable(ClusterError):
    """The API server did not answer in time; a write may or may not have happened."""


class Throttled(ClusterError):
    """The API server asks us to come back later."""

    def __init__(self, request: str, message: str, retry_after_seconds: float) -> None:
        """Keep the time that the server asked for."""
        super().__init__(request, message)
        self.retry_after_seconds = retry_after_seconds


class Forbidden(ClusterError):
    """The API server refuses us, for the reasons in `causes`."""

    def __init__(self, request: str, message: str, causes: tuple[str, ...] = ()) -> None:
        """Keep the machine-readable causes."""
        super().__init__(request, message)
        self.causes = causes

    @property
    def credentials_are_stale(self) -> bool:
        """Tell an expired token from a missing permission."""
        return STALE_CREDENTIALS in self.causes

    @property
    def of_a_read(self) -> bool:
        """
        Tell what everybody meets from what may be one object's own trouble.

        An API server that has just started answers so until it knows the roles, for seconds; a
        quota or a policy refuses writes alone.
        """
        return self.request.startswith("GET ")

    @property
    def namespace_is_terminating(self) -> bool:
        """Tell a namespace on its way out from a missing permission."""
        return NAMESPACE_TERMINATING in self.causes


DEFAULT_RETRY_AFTER_SECONDS = 1.0
UNAUTHORIZED = 401
CONFLICT = 409
EXPIRED = 410
INTERNAL = 500
# How server-side apply refuses a manifest that does not fit the schema: by the code of an outage.
# Source: k8s.io/apimachinery, pkg/util/managedfields/internal/structuredmerge.go at v0.35.
NOT_OF_THIS_SHAPE = ("failed to create typed patch object", "failed to convert new object")
FIRST_SERVER_ERROR = 500


def error_for(
    request: str, code: int, status: Mapping[str, Any], retry_after: str | None
) -> ClusterError:
    """Translate a failed answer; `status` is the `Status` object in its body, or empty."""
    message = str(status.get("message") or f"HTTP {code}")
    if code == INTERNAL and message.startswith(NOT_OF_THIS_SHAPE):
        return Invalid(request, message)
    if code == EXPIRED or code >= FIRST_SERVER_ERROR:
        return Unreachable(request, f"HTTP {code}: {message}")
    match code:
        case 401 | 403:
            causes = (STALE_CREDENTIALS,) if code == UNAUTHORIZED else _causes(status)
            return Forbidden(request, message, causes)
        case 404:
            return Gone(request, message, str((status.get("details") or {}).get("kind") or ""))
        case 429:
            return Throttled(request, message, _seconds(retry_after))
        case _:
            return (Conflict if code == CONFLICT else Invalid)(request, message)


def _causes(status: Mapping[str, Any]) -> tuple[str, ...]:
    details = status.get("details") or {}
    return tuple(str(cause.get("reason")) for cause in details.get("causes") or ())


def _seconds(retry_after: str | None) -> float:
    if retry_after is not None and retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    return DEFAULT_RETRY_AFTER_SECONDS
