"""The command line is the contract with the operator: flags, environment, exit codes, signals."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from model_server import __main__ as command
from model_server.command_line import parse
from model_server.settings import BadStart, Settings

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--model",
    "--preset",
    "--require-lock",
    "--served-model-name",
    "--adapter",
    "--adapter-strength",
    "--merge-adapters",
    "--host",
    "--port",
    "--probe-port",
    "--api-keys",
    "--tls-certificate",
    "--tls-key",
    "--cors-origin",
    "--device",
    "--dtype",
    "--engine",
    "--fast-paths",
    "--max-model-len",
    "--max-sequences",
    "--max-queued",
    "--first-token-seconds",
    "--answer-seconds",
    "--drain-seconds",
)


def test_defaults_are_those_of_the_contract() -> None:
    assert parse(["--model", "/m"], {}) == Settings(
        model=Path("/m"),
        preset=None,
        served_model_names=(),
        host="0.0.0.0",  # noqa: S104 - the default under test
        port=5000,
        probe_port=None,
        api_keys=None,
        tls_certificate=None,
        tls_key=None,
        cors_origins=(),
        device="auto",
        dtype="auto",
        engine="native",
        max_model_len=None,
        max_sequences=32,
        max_queued=128,
        first_token_seconds=120.0,
        answer_seconds=900.0,
        drain_seconds=30.0,
    )


def test_the_environment_gives_defaults_and_flags_win() -> None:
    environment = {"ATELIER_MODEL": "/models/weights", "ATELIER_PRESET": "tiny-mistral"}
    assert parse([], environment).model == Path("/models/weights")
    assert parse([], environment).preset == "tiny-mistral"
    assert parse(["--model", "/m", "--preset", "other"], environment).preset == "other"
    assert parse([], {**environment, "ATELIER_PRESET": ""}).preset is None


def test_every_flag_is_read() -> None:
    line = (
        "--model /m --preset p --served-model-name a --served-model-name b --host ::1 --port 0 "
        "--device cpu --dtype float32 --engine reference --max-model-len 64 --max-sequences 2 "
        "--max-queued 3 --drain-seconds 0.5 --first-token-seconds 2 --answer-seconds 3 "
        "--probe-port 5001 --api-keys /k --tls-certificate /c --tls-key /t "
        "--cors-origin https://a.example --cors-origin https://b.example"
    )
    assert parse(line.split(), {}) == Settings(
        model=Path("/m"),
        preset="p",
        served_model_names=("a", "b"),
        host="::1",
        port=0,
        probe_port=5001,
        api_keys=Path("/k"),
        tls_certificate=Path("/c"),
        tls_key=Path("/t"),
        cors_origins=("https://a.example", "https://b.example"),
        device="cpu",
        dtype="float32",
        engine="reference",
        max_model_len=64,
        max_sequences=2,
        max_queued=3,
        first_token_seconds=2.0,
        answer_seconds=3.0,
        drain_seconds=0.5,
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "pass --model DIR"),
        ("--model /m --port x", "'x' is no port"),
        ("--model /m --probe-port y", "'y' is no port"),
        ("--model /m --tls-key /k", "--tls-certificate"),
        ("--model /m --port 70000", "'70000' is no port"),
        ("--model /m --max-sequences 0", "'0' is no count"),
        ("--model /m --max-queued -1", "--max-queued"),
        ("--model /m --max-model-len 1.5", "'1.5' is no count"),
        ("--model /m --drain-seconds nan", "'nan' is no time"),
        ("--model /m --drain-seconds -1", "--drain-seconds"),
        ("--model /m --device tpu", "--device"),
        ("--model /m --max-seq 4", "--max-seq"),  # no abbreviations: a later flag could change them
        ("--model /m --trust-remote-code", "--trust-remote-code"),
    ],
)
def test_a_bad_flag_is_named_with_its_value(line: str, says: str) -> None:
    with pytest.raises(BadStart, match=re.escape(says)):
        parse(line.split(), {})


def test_every_flag_is_in_the_help_and_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"], {})
    shown = capsys.readouterr().out
    assert set(FLAGS) == set(re.findall(r"--[a-z-]+", shown)) - {"--help"}
    text = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
    assert [flag for flag in FLAGS if not re.search(rf"`{flag}[` ]", text)] == []


def test_the_reason_of_a_bad_end_goes_to_stderr_and_to_the_termination_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "termination-log"
    monkeypatch.setattr(command, "TERMINATION_LOG", log)
    command.tell("no such\nfolder")
    assert not log.exists()  # outside a pod there is none, and none is made
    log.touch()
    command.tell("no such\nfolder")
    assert log.read_text(encoding="utf-8") == "no such folder\n"
    assert capsys.readouterr().err == "model_server: no such folder\n" * 2


# Processes from here on. Importing torch takes seconds, on a busy machine many.
slow = pytest.mark.timeout(240)


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    line = [sys.executable, "-m", "model_server", *arguments]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as running:  # noqa: S603 - our own module
        try:
            yield running
        finally:
            running.kill()


def port_of(running: subprocess.Popen[str]) -> int:
    assert running.stderr is not None
    for line in running.stderr:
        event = json.loads(line)
        if event["event"] == "listening":
            return int(event["port"])
    raise AssertionError("the server never listened")


def get(port: int, path: str, body: dict[str, object] | None = None) -> dict[str, object]:
    data = json.dumps(body).encode() if body else None
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as response:
        parsed: dict[str, object] = json.load(response)
        return parsed


@slow
def test_a_bad_start_exits_with_1_and_one_last_sentence() -> None:
    with process("--model", "/no/such/folder", "--port", "0") as running:
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 1
    assert errors.splitlines()[-1].startswith("model_server: /no/such/folder")
    assert "Traceback" not in errors


@slow
def test_a_taken_port_exits_with_1() -> None:
    with process("--model", "/m", "--host", "192.0.2.1", "--port", "0") as running:
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "cannot listen on 192.0.2.1 port 0" in errors


@slow
def test_sigterm_while_loading_exits_with_0_within_5_seconds(tiny_weights: Path) -> None:
    with process("--model", str(tiny_weights), "--host", "127.0.0.1", "--port", "0") as running:
        port = port_of(running)
        assert get(port, "/health") == {"status": "ok"}
        asked = time.monotonic()
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=30) == 0
        assert time.monotonic() - asked < 5


@slow
def test_a_folder_becomes_an_endpoint_and_sigterm_ends_it_with_0(tiny_weights: Path) -> None:
    arguments = ("--model", str(tiny_weights), "--preset", "tiny-mistral", "--device", "cpu")
    with process(*arguments, "--host", "127.0.0.1", "--port", "0") as running:
        port = port_of(running)
        assert running.stderr is not None
        assert any(json.loads(line)["event"] == "ready" for line in running.stderr)
        assert get(port, "/ready")["ready"] is True
        body: dict[str, object] = {"prompt": "Hello", "max_tokens": 3}
        assert get(port, "/v1/completions", body)["object"] == "text_completion"
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=30) == 0
