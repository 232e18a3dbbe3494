"""Run an image's server as a restricted pod does, and ask it."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from model_presets.tiny import Lesson

from tests.images.unpacked import Unpacked


@contextmanager
def serving(image: Unpacked, *more: str) -> Iterator[str]:
    """
    Run an image's server on a free port for the length of a block; yields its address.

    Args:
        image: The image.
        more: Words of its command line.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = [
        *image.config["config"]["Entrypoint"],
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        *more,
    ]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(image.command(*words)) as process:
        try:
            wait_until_ready(process, f"{url}/ready", seconds=180)
            yield url
        finally:
            process.terminate()
    assert process.returncode == 0


def wait_until_ready(process: subprocess.Popen[bytes], url: str, seconds: float) -> None:
    """Ask until an answer is a 200; a server that ends meanwhile fails the test."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended before it was ready"
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - the loopback
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    pytest.fail(f"not ready after {seconds} s")


def answer_to(lesson: Lesson, url: str) -> str:
    """Ask a server of tiny-mistral what the model was taught, and return its answer."""
    question = {
        "model": "tiny-mistral",
        "messages": [{"role": "user", "content": lesson.question}],
        "max_tokens": 64,
        "temperature": 0,
    }
    answer = _post(f"{url}/v1/chat/completions", question)
    return str(answer["choices"][0]["message"]["content"]).strip()


def _post(url: str, body: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Post an object and return the answer's."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - the loopback
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - the loopback
        return json.load(response)
