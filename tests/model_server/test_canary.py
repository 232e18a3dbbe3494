"""A real server lets no secret and no prompt out: not into log, metric, error or process list."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.model_server.abuse_server import ready_port

TOKEN, KEY, WRONG = "hf_canary-token-51", "canary-key-52", "canary-wrong-53"
PROMPT, FIELD = "canary-prompt-54", "canary-field-55"
CANARIES = (TOKEN, KEY, WRONG, PROMPT, FIELD)
CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"


def ask(port: int, path: str, body: bytes | None = None, key: str = KEY) -> tuple[int, str]:
    """Return the status and the body of an answer, also of one that refuses."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def told(**fields: object) -> bytes:
    return json.dumps({"model": "tiny-mistral", "max_tokens": 2, **fields}).encode()


SAID = [{"role": "user", "content": PROMPT}]
REFUSED = [
    (COMPLETION, told(prompt=PROMPT), WRONG),
    (COMPLETION, b'{"prompt": "' + PROMPT.encode() + b'"', KEY),
    (COMPLETION, told(prompt=PROMPT, unknown_field=FIELD), KEY),
    (COMPLETION, told(prompt=PROMPT, temperature=FIELD), KEY),
    (COMPLETION, told(prompt=PROMPT, model=FIELD), KEY),
    (COMPLETION, told(prompt=PROMPT * 5000), KEY),
    (CHAT, told(messages=[{"role": FIELD, "content": PROMPT}]), KEY),
    (CHAT, told(messages=[*SAID, *SAID]), KEY),
    (f"/v1/{FIELD}?key={WRONG}", None, KEY),
]


@pytest.mark.timeout(240)  # a process of its own: importing torch takes seconds, at times many
def test_neither_a_secret_nor_a_prompt_comes_out(tiny_weights: Path, tmp_path: Path) -> None:
    keys, log = tmp_path / "keys", tmp_path / "log"
    keys.write_text(f"{KEY}\n", encoding="utf-8")
    line = [sys.executable, "-m", "model_server", "--model", str(tiny_weights), "--device", "cpu"]
    line += ["--preset", "tiny-mistral", "--host", "127.0.0.1", "--port", "0"]
    line += ["--api-keys", str(keys)]
    environment = {**os.environ, "HF_TOKEN": TOKEN}  # noqa: TID251 - a child needs PATH and HOME
    with (
        log.open("wb") as stream,
        subprocess.Popen(  # noqa: S603 - our own module
            line, stdout=stream, stderr=stream, env=environment
        ) as running,
    ):
        try:
            port = ready_port(log, running)
            answered = [
                ask(port, COMPLETION, told(prompt=PROMPT)),
                ask(port, CHAT, told(messages=SAID)),
            ]
            refused = [ask(port, path, body, key) for path, body, key in REFUSED]
            pages = [ask(port, path) for path in ("/metrics", "/ready", "/health", "/v1/models")]
            shown = (Path("/proc") / str(running.pid) / "cmdline").read_bytes().decode()
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=60) == 0
        finally:
            running.kill()
    assert [status for status, _ in (*answered, *pages)] == [200] * 6
    assert all(400 <= status < 500 for status, _ in refused), refused
    spoken = log.read_text(encoding="utf-8")
    assert '"event": "listening"' in spoken or '"event":"listening"' in spoken
    where = {"log": spoken, "process list": shown}
    where |= {f"answer {n}": text for n, (_, text) in enumerate((*refused, *pages))}
    found = [(name, each) for name, text in where.items() for each in CANARIES if each in text]
    assert found == []
