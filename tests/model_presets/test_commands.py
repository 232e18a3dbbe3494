"""`python -m model_presets`: what the image build and a person at a shell call."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from model_presets.__main__ import main
from model_presets.catalog import BUILT_IN, load_catalog
from model_presets.lock import LOCK_NAME, read_lock, read_lock_file

from tests.model_hub import Hub, serving

PRESET = load_catalog().get("mistral-7b-instruct")


def test_list_has_a_line_per_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(load_catalog().names())
    assert "1 GPU, 16 GiB" in lines[1]
    assert "2 GPU, 160 GiB" in lines[3]
    assert " CPU " in lines[-1]


@pytest.mark.parametrize("name", load_catalog().names())
def test_show_prints_what_the_file_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", name]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    written = yaml.safe_load((BUILT_IN / f"{name}.yaml").read_text())
    if template := written.get("chat_template"):
        written["chat_template"] = (BUILT_IN / template).read_text().rstrip()
    written = {key: value for key, value in written.items() if value is not None}
    assert {key: value for key, value in shown.items() if value is not None} == written


def test_the_steps_of_the_image_build_follow_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = str(tmp_path / "weights")
    files = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": b"weights"}
    with serving(Hub(repo=PRESET.repo, revision=PRESET.revision, files=files)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        assert main(["download", PRESET.repo, weights]) == 0
    assert main(["lock", PRESET.name, weights]) == 0
    assert main(["verify", PRESET.name, weights]) == 0
    digest = read_lock(tmp_path / "weights").digest
    assert capsys.readouterr().out.rstrip().endswith(digest)

    assert main(["download", PRESET.name, str(tmp_path / "again"), "--from", weights]) == 0
    assert not (tmp_path / "again" / LOCK_NAME).exists()
    assert main(["lock", PRESET.name, str(tmp_path / "again")]) == 0
    assert read_lock(tmp_path / "again").digest == digest


def test_a_lock_from_the_hub_holds_a_later_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("hf_canary\n")
    monkeypatch.setenv("HF_TOKEN_PATH", str(token))
    files = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": b"weights"}
    lock, weights = str(tmp_path / "lock.json"), str(tmp_path / "weights")
    with serving(
        Hub(repo=PRESET.repo, revision=PRESET.revision, files=files, token="hf_canary")  # noqa: S106 - nobody's
    ) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        assert main(["lock", PRESET.name, lock, "--from-hub"]) == 0
        assert main(["download", PRESET.name, weights, "--lock", lock]) == 0
    assert main(["lock", PRESET.name, weights]) == 0
    assert read_lock_file(tmp_path / "lock.json") == read_lock(tmp_path / "weights")
    spoken = capsys.readouterr()
    assert "hf_canary" not in spoken.out + spoken.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verfy"], "did you mean verify?"),
        (["fetch-weight", "tiny-mistral"], "did you mean fetch-weights?"),
        (["--extra", "presets", "shwo"], "did you mean show?"),
        (["xyzzy"], "invalid choice: 'xyzzy'"),
        ([], "required: COMMAND"),
        (["show"], "required: preset"),
    ],
)
def test_a_wrong_call_is_refused_and_a_misspelt_command_is_named(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("usage: python -m model_presets")
    assert words in told
    assert ("did you mean" in told) == ("did you mean" in words)


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_refusal_of_the_hub_says_nothing_of_the_token(
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("model_presets.hub.FIRST_WAIT_SECONDS", 0.0)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _seconds: None)
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    with serving(Hub(repo=PRESET.repo, revision=PRESET.revision, files={}, status=status)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        assert main(["download", PRESET.name, str(tmp_path / "weights")]) == 1
    spoken = capsys.readouterr()
    assert spoken.err, "it says why"
    assert "hf_canary" not in spoken.out + spoken.err


def test_a_preset_with_a_seed_is_made_and_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[tuple[Path, int, str]] = []
    monkeypatch.setattr(
        "model_presets.__main__.make_tiny",
        lambda folder, seed, *, name: made.append((folder, seed, name)),
    )
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # discard: nothing may ask it
    assert main(["download", "tiny-mistral", str(tmp_path)]) == 0
    assert main(["make-tiny", str(tmp_path), "--seed", "7"]) == 0
    assert main(["make-tiny", str(tmp_path), "--preset", "tiny-mixtral"]) == 0
    assert made == [
        (tmp_path, 0, "tiny-mistral"),
        (tmp_path, 7, "tiny-mistral"),
        (tmp_path, 0, "tiny-mixtral"),
    ]
    next_step = f"python -m model_server --model {tmp_path} --preset tiny-mixtral"
    assert capsys.readouterr().out.splitlines()[-1].endswith(next_step)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "mistral-7b-instuct"], "did you mean mistral-7b-instruct"),
        (["--extra", "/nowhere", "list"], "not a folder"),
        (["verify", "tiny-mistral", "/nowhere"], "/nowhere: not a folder"),
        (["verify", "tiny-mistral", "/proc"], "missing; write it with"),
        (["lock", "tiny-mistral", "/nowhere"], "/nowhere: not a folder"),
        (["lock", "tiny-mistral", "/nowhere", "--from-hub"], "no hub knows it"),
        (["download", "mistral-7b", "/nowhere", "--lock", "/no/lock.json"], "missing"),
        (["download", "mistral-7b", "/nowhere-else", "--from", "/nowhere"], "no config.json"),
    ],
)
def test_a_failure_is_one_sentence_and_exit_code_1(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert words in message
    assert message.startswith("model_presets: ")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("HF_ENDPOINT", "hub.example", "write https:// and the hub's name"),
        ("HF_TOKEN_PATH", "/nowhere", "HF_TOKEN_PATH names a file"),
    ],
)
def test_a_wrong_variable_is_named_at_once(
    variable: str,
    value: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    for command in (["download", PRESET.name], ["lock", "--from-hub", PRESET.name]):
        assert main([*command, "/nowhere"]) == 1
        message = capsys.readouterr().err
        assert words in message
        assert message.count("\n") == 1


# A shell starts what runs in its background with SIGINT ignored, and children inherit that.
AS_FROM_A_TERMINAL = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("model_presets", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_ends_a_download_without_waiting_for_what_is_under_way(tmp_path: Path) -> None:
    """The hub holds the weights back for as long as the test runs; nothing is said but a line."""
    files = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": b"weights" * 999}
    with (
        serving(
            Hub(repo=PRESET.repo, revision=PRESET.revision, files=files, held={"model.safetensors"})
        ) as hub,
        subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-c", AS_FROM_A_TERMINAL, "download", PRESET.name, tmp_path],
            env={**os.environ, "HF_ENDPOINT": hub.endpoint},  # noqa: TID251 - a process of our own
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        ) as process,
    ):
        try:
            assert hub.holding.wait(50)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=50)
        finally:
            process.kill()
    assert process.returncode == 130
    assert said == "model_presets: stopped; the same command goes on\n"


def test_a_wrong_call_is_exit_code_2() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["fetch"])
    assert caught.value.code == 2
