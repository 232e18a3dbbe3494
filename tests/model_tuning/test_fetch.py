"""Downloading training data: whole files, from public addresses and from nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
from model_tuning import fetch as module
from model_tuning.examples import InvalidData
from model_tuning.fetch import fetch_urls, refuse_private


class Files(BaseHTTPRequestHandler):
    """Serve a few answers by path; the first cut answer is short."""

    cuts = 1
    asked = 0
    refusals: ClassVar[list[tuple[int, str]]] = []  # of /busy.txt: status, Retry-After

    def do_GET(self) -> None:
        type(self).asked += 1
        body = b"row\n" * 1000
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/data.txt")
        elif self.path == "/inside":
            self.send_response(302)
            self.send_header("Location", "http://inside.example/data.txt")
        elif self.path == "/loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
        elif self.path == "/gone.txt":
            self.send_response(404)
            body = b""
        elif self.path == "/busy.txt" and self.refusals:
            status, later = self.refusals.pop(0)
            self.send_response(status)
            self.send_header("Retry-After", later)
            body = b""
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path == "/cut.txt" and type(self).cuts:
            type(self).cuts -= 1
            self.wfile.write(body[:100])
            return
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Stay silent."""


@contextmanager
def serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def public(host: str, _port: int) -> list[str]:
    """Say that every host is a public one, but for those that say otherwise."""
    return ["10.0.0.7"] if host == "inside.example" else ["93.184.216.34"]


def anywhere(_address: str) -> bool:
    """Let connections lead to the server of the test, which is on this machine."""
    return True


def at_once(_seconds: float) -> None:
    """Try again without waiting."""


def test_files_arrive_whole_and_a_cut_one_is_fetched_again(tmp_path: Path) -> None:
    Files.cuts = 1
    with serving() as base:
        fetch_urls(
            [f"{base}/data.txt", f"{base}/moved", f"{base}/cut.txt"],
            tmp_path,
            public,
            anywhere,
            at_once,
        )
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {
        "data.txt": 4000,
        "moved": 4000,
        "cut.txt": 4000,
    }
    assert Files.cuts == 0


def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(tmp_path: Path) -> None:
    Files.refusals[:] = [
        (429, "7"),
        (503, ""),
        (503, "Wed, 21 Oct 2026 07:28:00 GMT"),
        (429, "86400"),
    ]
    waits: list[float] = []
    with serving() as base:
        fetch_urls([f"{base}/busy.txt"], tmp_path, public, anywhere, waits.append)
    assert waits == [7, 2, 4, 60]
    assert (tmp_path / "busy.txt").stat().st_size == 4000


def test_a_server_that_stays_busy_is_named_after_five_tries(tmp_path: Path) -> None:
    Files.refusals[:] = [(503, "")] * 5
    waits: list[float] = []
    with serving() as base, pytest.raises(InvalidData, match=r"/busy\.txt: HTTP 503; check"):
        fetch_urls([f"{base}/busy.txt"], tmp_path, public, anywhere, waits.append)
    assert waits == [1, 2, 4, 8]


def test_two_files_of_one_name_are_both_kept(tmp_path: Path) -> None:
    with serving() as base:
        fetch_urls([f"{base}/data.txt", f"{base}/data.txt?again"], tmp_path, public, anywhere)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-data.txt", "data.txt"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/gone.txt", "HTTP 404"),
        ("/loop", "redirects"),
        ("/inside", "10.0.0.7 is a loopback, private, or link-local"),
    ],
)
def test_what_cannot_be_had_is_named(tmp_path: Path, path: str, words: str) -> None:
    with serving() as base, pytest.raises(InvalidData, match=words):
        fetch_urls([f"{base}{path}"], tmp_path, public, anywhere)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "address", "words"),
    [
        ("file:///etc/passwd", "93.184.216.34", "must use HTTP or HTTPS"),
        ("https:///x", "93.184.216.34", "must use HTTP or HTTPS"),
        ("http://a.example/x", "127.0.0.1", "link-local"),
        ("http://a.example/x", "169.254.169.254", "link-local"),
        ("http://a.example/x", "10.1.2.3", "use a volume"),
        ("http://a.example/x", "fe80::1%eth0", "link-local"),
        ("http://a.example/x", "::1", "link-local"),
        ("http://a.example/x", "100.64.0.1", "link-local"),
    ],
)
def test_the_clusters_own_network_is_out_of_bounds(url: str, address: str, words: str) -> None:
    with pytest.raises(InvalidData, match=words):
        refuse_private(url, lambda _host, _port: [address])


def test_a_name_that_resolves_to_something_else_when_it_is_connected_to_is_refused(
    tmp_path: Path,
) -> None:
    asked = Files.asked
    with serving() as base, pytest.raises(InvalidData, match=r"127\.0\.0\.1 is a loopback"):
        fetch_urls([f"{base}/data.txt"], tmp_path, public)
    assert list(tmp_path.iterdir()) == []
    assert Files.asked == asked, "not a word was sent"


def test_a_host_that_is_not_known_is_named() -> None:
    def unknown(_host: str, _port: int) -> list[str]:
        raise OSError("name or service not known")

    with pytest.raises(InvalidData, match="check the host name"):
        refuse_private("http://nowhere.example/x", unknown)


def test_the_real_resolver_sees_through_localhost() -> None:
    with pytest.raises(InvalidData, match=r"127\.0\.0\.1"):
        refuse_private("http://localhost/x", module.resolve)
