"""
Close connections that only cost: those that send nothing, too slowly, or do not read.

uvicorn waits without end for a request's headers and body and for a client that does not read
(tried, uvicorn 0.54: still open after 25 s). A few hundred such sockets are cheap to open and would
use up this process's file descriptors. Three deadlines end that:

    headers   from the connection, or the first byte of a request, to the end of its headers
    body      from there to the end of the body
    reading   while the socket takes no more bytes of an answer

A connection that is cut so ends the request's generation, as any disconnect does. What is not HTTP
at all gets the one form of errors that everything else gets. Must not import torch or transformers.
"""

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from model_server.api.errors import Problem

BAD_REQUEST = Problem(status=400, message="this is not an HTTP request", code="invalid_http")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Bound how long a client may take, in seconds."""

    headers: float = 10.0
    body: float = 30.0
    reading: float = 30.0


class GuardedConnection(H11Protocol):
    """Speak HTTP/1.1 with one client, within the deadlines."""

    deadlines: ClassVar[Deadlines] = Deadlines()
    _waits_for: str | None = None  # what the deadline is about
    _deadline: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the base has it
        """Start the deadline of the first headers."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "send_chunk": self.send_chunk}
        self._expect("headers", self.deadlines.headers)

    def data_received(self, data: bytes) -> None:
        """Take bytes, then see what is still missing."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Go on to the next request; its own deadline starts with its first byte."""
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop every clock."""
        self._expect(None, 0)
        self._stop_reading_clock()
        super().connection_lost(exc)

    def send_chunk(self, data: bytes) -> bool:
        """
        Send a part of a streamed answer at once, with as little work as can be.

        The way through ASGI's messages and h11 costs more than all else about a token. Here a part
        is framed as h11 would frame it: for an answer of unstated length that has begun.

        Returns:
            Whether it was sent; False where it has to go the ordinary way, which can also wait.
        """
        cycle = self.cycle
        ordinary = (
            self.flow.write_paused
            or cycle.disconnected
            or cycle.response_complete
            or not cycle.response_started
            or self.scope["http_version"] != "1.1"  # no chunks before
        )
        if ordinary or not data:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True

    def pause_writing(self) -> None:
        """Start the clock when the client stops reading."""
        super().pause_writing()
        self._stop_reading_clock()
        self._reading = self.loop.call_later(self.deadlines.reading, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop it when the client reads on."""
        super().resume_writing()
        self._stop_reading_clock()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the base's text names uvicorn's view
        """Answer what is not HTTP, unless an answer is under way."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        body = json.dumps(BAD_REQUEST.document()).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        status = HTTPStatus.BAD_REQUEST
        events = (
            h11.Response(status_code=status, headers=headers, reason=status.phrase.encode()),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        for event in events:
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _look(self) -> None:
        """Set the deadline that fits what the client still owes."""
        match self.conn.their_state:
            case h11.SEND_BODY:
                self._expect("body", self.deadlines.body)
            case h11.IDLE if self.conn.trailing_data[0]:
                self._expect("headers", self.deadlines.headers)
            case _:
                self._expect(None, 0)

    def _expect(self, what: str | None, seconds: float) -> None:
        """Start a deadline when the wait is a new one; bytes that trickle in do not renew it."""
        if what == self._waits_for:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._waits_for = what
        self._deadline = self.loop.call_later(seconds, self.transport.abort) if what else None

    def _stop_reading_clock(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
