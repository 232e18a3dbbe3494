"""
Read a request's body within bounds, and refuse by its outer form what would be read in vain.

A body is JSON, plain, and at most a megabyte: more than any context holds. The length that a client
states is checked before anything is read, and the bytes are counted for those who state none. A
compressed body is refused, since a small one may unpack to a huge one.

Must not import torch or transformers.
"""

from starlette.requests import ClientDisconnect, Request

from model_server.api.errors import ApiError, too_large, unsupported

MAX_BODY_BYTES = 1_000_000


class ClientLeft(Exception):
    """Report that the client closed the connection before its request was whole."""


async def read_body(request: Request, *, limit_bytes: int = MAX_BODY_BYTES) -> bytes:
    """
    Return the body of a JSON request.

    Raises:
        ApiError: 413 if it is too large, 415 for another media type or a content encoding.
        ClientLeft: If the connection ends within the body.
    """
    _check_form(request)
    stated = request.headers.get("content-length", "")
    if stated.isascii() and stated.isdigit() and int(stated) > limit_bytes:
        raise too_large(limit_bytes)
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > limit_bytes:
                raise too_large(limit_bytes)
    except ClientDisconnect:
        raise ClientLeft from None
    return bytes(body)


def _check_form(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise _refusal("send the body without a content encoding")
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise _refusal("send the body as JSON, with the header Content-Type: application/json")


def _refusal(message: str) -> ApiError:
    return unsupported(415, message)
