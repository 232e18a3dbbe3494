"""
Ask the model a question over HTTP, through the Workspace's Service.

The way in is the one that a user without a load balancer takes: `kubectl port-forward` to the
Service, and an ordinary HTTP client.
"""

import json
import re
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from tests.cluster.binaries import binary
from tests.cluster.control_plane import ControlPlane

FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
ANSWER_SECONDS = 120


class NoWayInError(RuntimeError):
    """The Service could not be reached; the message has kubectl's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, and the part of it that a person reads."""

    text: str
    model: str
    body: dict[str, Any]


def parse_answer(body: dict[str, Any]) -> Answer:
    """Read a chat completion of OpenAI's shape."""
    return Answer(text=body["choices"][0]["message"]["content"], model=body["model"], body=body)


@contextmanager
def forwarded(plane: ControlPlane, service: str, *, namespace: str = "default") -> Iterator[str]:
    """
    Open a way to port 80 of a Service, as http://127.0.0.1:PORT.

    Raises:
        NoWayInError: kubectl ended before it listened.
    """
    command = [
        str(binary("kubectl")),
        f"--kubeconfig={plane.kubeconfig}",
        f"--namespace={namespace}",
        "port-forward",
        f"service/{service}",
        ":80",
    ]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as forwarder:
        assert forwarder.stdout is not None
        try:
            yield f"http://127.0.0.1:{_port(forwarder.stdout)}"
        finally:
            forwarder.terminate()


def chat(url: str, model: str, question: str, *, max_tokens: int, logprobs: bool = False) -> Answer:
    """Send one chat request and return the answer, with every token in it where asked for."""
    request = urllib.request.Request(  # noqa: S310 - an address that `forwarded` made
        f"{url}/v1/chat/completions",
        data=json.dumps(
            {
                "model": model,
                "messages": [{"role": "user", "content": question}],
                "max_tokens": max_tokens,
                "temperature": 0,
                "logprobs": logprobs,
            }
        ).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as reply:  # noqa: S310 - the same
        return parse_answer(json.load(reply))


def _port(output: IO[str]) -> str:
    said = []
    for line in output:
        said.append(line)
        if found := FORWARDING.search(line):
            # kubectl goes on to write a line per connection: somebody must read them.
            threading.Thread(target=output.read, daemon=True).start()
            return found.group(1)
    raise NoWayInError("kubectl port-forward: " + "".join(said).strip())
