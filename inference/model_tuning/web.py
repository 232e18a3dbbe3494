"""
Answer who asks how far the training is: `/status` as JSON, `/metrics` for Prometheus, `/health`.

A thread of its own, so that a long step does not silence it. No text of the training data, no name
of a file of the user's is ever in an answer.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from model_tuning.progress import Picture, Progress

GAUGES = (
    ("atelier_tuning_step", "step", "Optimizer steps done."),
    ("atelier_tuning_steps", "steps", "Optimizer steps in all."),
    ("atelier_tuning_loss", "loss", "Training loss as last reported."),
    ("atelier_tuning_tokens", "tokens", "Tokens trained on by this process."),
    ("atelier_tuning_tokens_per_second", "tokens_per_second", "Pace of this process."),
    ("atelier_tuning_seconds_left", "seconds_left", "Time left at this pace."),
)


class StatusHandler(BaseHTTPRequestHandler):
    """Answer GET of three paths, and nothing else."""

    protocol_version = "HTTP/1.1"
    timeout = 10  # a client that says nothing is let go
    progress: Progress

    def do_GET(self) -> None:
        """Answer one question."""
        picture = self.progress.look()
        match self.path:
            case "/status":
                self._send(HTTPStatus.OK, "application/json", json.dumps(asdict(picture)))
            case "/metrics":
                self._send(HTTPStatus.OK, "text/plain; version=0.0.4", metrics_text(picture))
            case "/health":
                self._send(HTTPStatus.OK, "application/json", '{"status": "ok"}')
            case _:
                self._send(HTTPStatus.NOT_FOUND, "application/json", '{"error": "not found"}')

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Stay silent: a question every few seconds is no news."""


def metrics_text(picture: Picture) -> str:
    """Write a picture in Prometheus' text format."""
    lines = []
    for name, field, words in GAUGES:
        value = getattr(picture, field)
        if value is not None:
            lines += [f"# HELP {name} {words}", f"# TYPE {name} gauge", f"{name} {value}"]
    return "\n".join(lines) + "\n"


@contextmanager
def answering(progress: Progress, host: str, port: int) -> Iterator[int]:
    """Answer on a port while a training runs; yields the port, which is free to be 0 before."""
    handler = type("Handler", (StatusHandler,), {"progress": progress})
    server = ThreadingHTTPServer((host, port), handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, name="status", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
