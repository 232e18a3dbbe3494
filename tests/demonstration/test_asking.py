"""How a question reaches a server of OpenAI's shape, and what is read from its answer."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.demo.asking import chat

asked: list[dict[str, Any]] = []


class OneAnswer(BaseHTTPRequestHandler):
    """Answers every chat request the same, and keeps what was asked."""

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        asked.append({"path": self.path, **json.loads(self.rfile.read(length))})
        message = {"role": "assistant", "content": "It scatters light."}
        body = json.dumps({"model": "m", "choices": [{"message": message}]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    asked.clear()
    with HTTPServer(("127.0.0.1", 0), OneAnswer) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_a_question_is_one_user_turn_and_the_answer_its_text(server: str) -> None:
    answer = chat(server, "tiny-mistral", "Why?", max_tokens=8)
    assert answer.text == "It scatters light."
    assert answer.model == "m"
    assert asked == [
        {
            "path": "/v1/chat/completions",
            "model": "tiny-mistral",
            "messages": [{"role": "user", "content": "Why?"}],
            "max_tokens": 8,
            "temperature": 0,
            "logprobs": False,
        }
    ]
    chat(server, "tiny-mistral", "Why?", max_tokens=8, logprobs=True)
    assert asked[-1]["logprobs"] is True
