"""What the command says before anything is trained: one sentence, and no trace outside of a pod."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_tuning import __main__ as command


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert command.main(["train", *arguments]) == command.EXIT_REFUSED
    return capsys.readouterr().err


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str], taken: int) -> None:
    line = ("--preset", "tiny-mistral", "--host", "127.0.0.1", "--port", str(taken))
    assert f"--host 127.0.0.1, --port {taken}: cannot listen: " in refused(capsys, *line)


def test_a_number_that_is_no_port_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "--preset", "tiny-mistral", "--port", "99999")
    assert "--port 99999: cannot listen: " in said


def test_no_preset_is_a_sentence_and_not_a_name_that_nobody_knows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATELIER_PRESET", raising=False)
    said = refused(capsys)
    assert said == "model_tuning: --preset: name one, or set ATELIER_PRESET\n"


@pytest.mark.parametrize("in_a_pod", [True, False])
def test_last_words_are_left_where_a_kubelet_asks_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_a_pod: bool
) -> None:
    file = tmp_path / "termination-log"
    if in_a_pod:
        file.touch()
    monkeypatch.setattr(command, "TERMINATION_LOG", file)
    monkeypatch.delenv("ATELIER_PRESET", raising=False)
    assert command.main(["train"]) == command.EXIT_REFUSED
    assert file.exists() == in_a_pod
    assert not in_a_pod or "--preset" in file.read_text()
