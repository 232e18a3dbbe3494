"""
Say what went wrong in the words that clients of OpenAI's API already understand.

Every answer with a status of 400 or more has the same body, `{"error": {message, type, param,
code}}`. The message names the field and the remedy and never repeats what the caller sent: an error
that echoes a 50 MB prompt is an attack on the server's own memory, and prompts are nobody's
business.

Must not import torch, transformers, or anything that answers requests.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

INVALID = "invalid_request_error"
SERVER = "server_error"
KEY = "authentication_error"
BUSY = "rate_limit_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Hold what one refusal says."""

    status: int
    message: str
    kind: str = INVALID
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the body that the caller gets."""
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }


class ApiError(Exception):
    """Carry a problem up to the edge, where it becomes an answer."""

    def __init__(self, problem: Problem) -> None:
        """Keep the problem; its message is safe to log."""
        super().__init__(problem.message)
        self.problem = problem


def no_valid_key() -> Problem:
    """Turn a caller away who shows no key, or a wrong one; both look the same from outside."""
    message = "this server needs an API key: send the header Authorization: Bearer KEY"
    headers = {"www-authenticate": "Bearer"}
    return Problem(status=401, message=message, kind=KEY, code="invalid_api_key", headers=headers)


def invalid_value(param: str | None, message: str, *, status: int = 422) -> ApiError:
    """Refuse a field whose value cannot be used."""
    return ApiError(Problem(status=status, message=message, param=param, code="invalid_value"))


def unknown_field(param: str) -> ApiError:
    """Refuse a field that this API does not have, rather than ignore what the caller hoped for."""
    message = f"{param}: this server knows no such field; leave it out"
    return ApiError(Problem(status=422, message=message, param=param, code="unknown_field"))


def unsupported(status: int, message: str) -> ApiError:
    """Refuse a request by its outer form: media type, encoding, size."""
    return ApiError(Problem(status=status, message=message, code="unsupported_request"))


def too_large(limit_bytes: int) -> ApiError:
    """Refuse a body before it is read whole."""
    message = f"the request body is larger than {limit_bytes:,} bytes"
    return ApiError(Problem(status=413, message=message, code="request_too_large"))


def model_not_found(known: tuple[str, ...]) -> ApiError:
    """Refuse a model that is not served here."""
    message = f"this server does not serve that model; it serves: {', '.join(known)}"
    return ApiError(Problem(status=404, message=message, param="model", code="model_not_found"))


def context_exceeded(*, param: str, limit: int, prompt: int, answer: int) -> ApiError:
    """Refuse a prompt that leaves no room for the answer, with both numbers."""
    message = (
        f"the context holds {limit} tokens, but the prompt has {prompt} and the answer may take "
        f"{answer}, {prompt + answer} together: shorten the prompt or ask for fewer tokens"
    )
    code = "context_length_exceeded"
    return ApiError(Problem(status=400, message=message, param=param, code=code))


def prompt_exceeds(*, param: str, limit: int, at_least: int) -> ApiError:
    """Refuse a prompt that is too long by its characters alone, before it costs any work."""
    message = (
        f"the context holds {limit} tokens, but the prompt has at least {at_least}: shorten it"
    )
    code = "context_length_exceeded"
    return ApiError(Problem(status=400, message=message, param=param, code=code))


def queue_full(retry_after_seconds: int) -> ApiError:
    """Send a caller away for a moment, because enough others wait already."""
    seconds = max(1, retry_after_seconds)
    return ApiError(
        Problem(
            status=429,
            message=f"too many requests wait; try again in {seconds} s",
            kind=BUSY,
            code="rate_limit_exceeded",
            headers={"retry-after": str(seconds)},
        )
    )


def unavailable(message: str, *, code: str, retry_after_seconds: int) -> ApiError:
    """Say that this server cannot answer now, and when to ask again."""
    return ApiError(
        Problem(
            status=503,
            message=message,
            kind=SERVER,
            code=code,
            headers={"retry-after": str(retry_after_seconds)},
        )
    )


def first_token_late(seconds: float) -> ApiError:
    """Give up on a request that waited for its first token too long: others are before it."""
    message = f"no token came within {seconds:g} s; the server is busy, try again later"
    return unavailable(message, code="queue_timeout", retry_after_seconds=5)


def answer_late(seconds: float) -> ApiError:
    """Give up on an answer that takes too long."""
    message = f"the answer took longer than {seconds:g} s; ask for fewer tokens"
    return ApiError(Problem(status=504, message=message, kind=SERVER, code="answer_timeout"))


def generation_failed() -> ApiError:
    """Say that the model failed on this request; the cause stands in the server's log."""
    message = "the model failed on this request; the server's log has the cause"
    return ApiError(Problem(status=500, message=message, kind=SERVER, code="generation_failed"))


def internal() -> ApiError:
    """Say that the server has a fault of its own, without a word of its inside."""
    message = "the server made a mistake; its log has the cause under this request id"
    return ApiError(Problem(status=500, message=message, kind=SERVER, code="internal_error"))
