"""
A model hub on the loopback: the few routes of the hub's protocol that a download uses, and in
``uploads`` those of an upload.

It can cut an answer short, refuse, or ask to come back later, as the real one does on a bad day.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import unquote, urlsplit

from tests.model_hub.uploads import CUT, Shelf


@dataclass(kw_only=True)
class Hub:
    """Hold one repository at one revision, what was asked for, and the faults to play."""

    repo: str
    revision: str
    files: dict[str, bytes]
    lies: dict[str, str] = field(default_factory=dict)  # path -> SHA-256 that it claims
    described: dict[str, bytes] = field(default_factory=dict)  # path -> what the commit says it is
    status_once: dict[str, int] = field(default_factory=dict)  # path -> answer, once
    retry_after: str | None = None  # header of these answers
    token: str | None = None  # what a request must carry, where it is set
    cut_once: set[str] = field(default_factory=set)  # paths of which the first answer is cut
    status: int | None = None  # answer to everything
    sizes: dict[str, int] = field(default_factory=dict)  # path -> bytes that it states
    whole_only: bool = False  # knows no ranges
    hold_at: dict[str, int] = field(default_factory=dict)  # path -> bytes after which it waits
    let_go: Event = field(default_factory=Event)  # ends all waiting
    stored_at: str = ""  # where files are, as the real hub keeps them elsewhere
    tokens: set[str | None] = field(default_factory=set)  # that requests came with
    asked: Counter[str] = field(default_factory=Counter)
    ranges: list[str] = field(default_factory=list)
    held: set[str] = field(default_factory=set)  # paths whose content comes when `released` is set
    holding: Event = field(default_factory=Event)  # set when one is waited for
    released: Event = field(default_factory=Event)
    shelf: Shelf | None = None  # a repository that may be written, and answers alone where it is
    endpoint: str = ""

    def describe(self) -> bytes:
        siblings = [
            {
                "rfilename": name,
                "size": self.sizes.get(name, len(content)),
                "blobId": self.blob_id(name),
                **(
                    {"lfs": {"sha256": self.sha256(name), "size": len(content), "pointerSize": 1}}
                    if name.endswith((".safetensors", ".bin"))
                    else {}
                ),
            }
            for name, content in self.files.items()
        ]
        return json.dumps({"id": self.repo, "sha": self.revision, "siblings": siblings}).encode()

    def blob_id(self, name: str) -> str:
        content = self.described.get(name, self.files[name])
        header = f"blob {len(content)}\0".encode()
        return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()

    def sha256(self, name: str) -> str:
        return self.lies.get(name, hashlib.sha256(self.files[name]).hexdigest())


class HubHandler(BaseHTTPRequestHandler):
    """Answer as the hub that the server carries."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def do_POST(self) -> None:
        self.take()

    def do_PUT(self) -> None:
        self.take()

    def take(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length) if length else self.read_chunks()
        if self.hub.shelf is None:
            self.send(405, b"", body=True)
            return
        status, answer, headers = self.hub.shelf.answer(
            self.command, self.path, self.headers, content, self.hub.endpoint
        )
        if status == CUT:
            self.close_connection = True
            return
        self.send(status, json.dumps(answer).encode(), headers, body=True)

    def read_chunks(self) -> bytes:
        content = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        return content

    def answer(self, *, body: bool) -> None:
        if self.hub.shelf is not None:
            self.take()
            return
        path = unquote(urlsplit(self.path).path)
        self.hub.asked[f"{self.command} {path}"] += 1
        self.hub.tokens.add(self.headers.get("Authorization"))
        resolve = f"/{self.hub.repo}/resolve/{self.hub.revision}/"
        name = path.removeprefix(resolve)
        if self.hub.status is not None:
            self.send(self.hub.status, b"", body=body)
        elif self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self.send(401, b"", body=body)
        elif path == f"/api/models/{self.hub.repo}/revision/{self.hub.revision}":
            self.send(200, self.hub.describe(), body=body)
        elif path.startswith(resolve) and self.hub.stored_at:
            self.send(302, b"", {"Location": self.hub.stored_at + self.path}, body=body)
        elif path.startswith(resolve) and name in self.hub.files:
            self.send_file(name, body=body)
        else:
            self.send(404, b"", body=body)

    def send_file(self, name: str, *, body: bool) -> None:
        if body and name in self.hub.status_once:
            later = {"Retry-After": self.hub.retry_after} if self.hub.retry_after else None
            self.send(self.hub.status_once.pop(name), b"", later, body=body)
            return
        if body and name in self.hub.held:
            self.hub.holding.set()
            self.hub.released.wait()
        content = self.hub.files[name]
        headers = {
            "ETag": f'"{self.hub.sha256(name)}"',
            "X-Repo-Commit": self.hub.revision,
            "X-Linked-Size": str(len(content)),
            "Accept-Ranges": "bytes",
        }
        wanted = self.headers.get("Range")
        if wanted is None or not body or self.hub.whole_only:
            hold = self.hub.hold_at.get(name, 0)
            cut = body and name in self.hub.cut_once
            self.send(200, content, headers, body=body, cut=cut, hold=hold)
            self.hub.cut_once -= {name} if body else set()
            return
        self.hub.ranges.append(wanted)
        begin = int(wanted.removeprefix("bytes=").split("-")[0])
        headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        self.send(206, content[begin:], headers, body=body)

    def send(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
        *,
        body: bool,
        cut: bool = False,
        hold: int = 0,
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            if hold:
                self.wfile.write(content[:hold])
                self.hub.let_go.wait()
                content = content[hold:]
            self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = self.close_connection or cut

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Stay silent: the tests look at what was asked."""


@contextmanager
def serving(hub: Hub, *, address: str = "127.0.0.1") -> Iterator[Hub]:
    """Serve a hub on a free port of the loopback, or of another address of this machine."""

    handler = type("Handler", (HubHandler,), {"hub": hub})
    server = ThreadingHTTPServer((address, 0), handler)
    thread = Thread(target=server.serve_forever, name="hub", kwargs={"poll_interval": 0.05})
    thread.start()
    hub.endpoint = f"http://{address}:{server.server_port}"
    try:
        yield hub
    finally:
        hub.let_go.set()
        hub.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
