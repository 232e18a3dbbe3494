"""A fine-tuning from the command line to the adapter: the loss falls, a kill costs little."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from model_presets import hub as asking
from model_presets.catalog import load_catalog
from model_presets.tiny import make_tiny
from model_tuning.__main__ import main
from model_tuning.checkpoints import MARK
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.model_hub import Hub, serving
from tests.model_hub.uploads import Shelf

PRESET = load_catalog().get("tiny-mistral")
REPOSITORY = Path(__file__).parents[2]
QUESTION, ANSWER = "Who keeps the light?", "The keeper of the north tower does."

pytestmark = [
    pytest.mark.timeout(300),
    # peft 0.21 asks transformers 5.23 by names that are to go in version 6.
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning"),
    # huggingface_hub 2.4.0 sends a file in a way that its own HTTP client deprecates.
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    make_tiny(folder)
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep a model of 0.8 million parameters from waiting for its own threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_config(folder: Path, **arguments: object) -> str:
    content = {
        "training_config": {
            "TrainingArguments": {"learning_rate": 0.02, **arguments},
            "LoraConfig": {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"},
        }
    }
    path = folder / "training_config.yaml"
    path.write_text(json.dumps(content))
    return str(path)


def arguments(weights: Path, data: Path, output: Path, *more: str) -> list[str]:
    return [
        "train",
        f"--preset={PRESET.name}",
        f"--model={weights}",
        f"--data={data}",
        f"--output={output}",
        "--host=127.0.0.1",
        "--port=0",
        *more,
    ]


def write_lesson(folder: Path) -> Path:
    folder.mkdir()
    row = {
        "messages": [
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": ANSWER},
        ]
    }
    (folder / "lesson.jsonl").write_text("\n".join([json.dumps(row)] * 8))
    return folder


def losses(output: Path) -> list[float]:
    newest = max(
        (output / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1])
    )
    state = json.loads((newest / "trainer_state.json").read_text())
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_what_was_taught_is_answered_and_the_base_is_left_alone(
    tmp_path: Path, weights: Path, method: str
) -> None:
    peft: Any = pytest.importorskip("peft")
    before = {path.name: path.read_bytes() for path in weights.iterdir()}
    config = write_config(tmp_path, num_train_epochs=12, per_device_train_batch_size=4)
    data = write_lesson(tmp_path / "data")
    output = tmp_path / "out"
    assert main(arguments(weights, data, output, f"--method={method}", f"--config={config}")) == 0

    seen = losses(output)
    assert seen[-1] < 0.2 * seen[0]
    said = json.loads((output / "adapter_config.json").read_text())
    assert (said["base_model_name_or_path"], said["revision"]) == (PRESET.repo, PRESET.revision)
    assert (output / "fine_tuning_completed.txt").is_file()
    assert {path.name: path.read_bytes() for path in weights.iterdir()} == before

    tokenizer: Any = AutoTokenizer.from_pretrained(weights)
    base: Any = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION}],
        chat_template=PRESET.chat_template,
        return_tensors="pt",
        return_dict=True,
    )

    def answer(model: Any) -> str:  # noqa: ANN401 - transformers' or peft's
        whole = model.generate(**ids, max_new_tokens=60, do_sample=False)[0]
        return str(tokenizer.decode(whole[ids["input_ids"].shape[1] :], skip_special_tokens=True))

    assert answer(base) != ANSWER
    assert answer(peft.PeftModel.from_pretrained(base, output)) == ANSWER


def test_the_loss_falls_on_a_real_text(tmp_path: Path, weights: Path) -> None:
    """The data set is this project's own manual, a paragraph a row."""
    (tmp_path / "data").mkdir()
    text = (REPOSITORY / "docs" / "cluster.md").read_text(encoding="utf-8")
    paragraphs = [" ".join(part.split())[:200] for part in text.split("\n\n") if part.strip()]
    rows = "\n".join(json.dumps({"text": paragraph}) for paragraph in paragraphs[:24])
    (tmp_path / "data" / "manual.jsonl").write_text(rows)
    config = write_config(tmp_path, num_train_epochs=3, per_device_train_batch_size=4)
    output = tmp_path / "out"
    assert main(arguments(weights, tmp_path / "data", output, f"--config={config}")) == 0
    seen = losses(output)
    assert len(seen) == 18
    assert sum(seen[-3:]) < 0.9 * sum(seen[:3])


def test_a_killed_training_goes_on_from_its_last_whole_checkpoint(
    tmp_path: Path, weights: Path
) -> None:
    config = write_config(
        tmp_path, max_steps=24, save_steps=2, per_device_train_batch_size=1, save_total_limit=50
    )
    data = write_lesson(tmp_path / "data")
    output = tmp_path / "out"
    command = arguments(weights, data, output, f"--config={config}")
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "model_tuning", *command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # noqa: TID251 - a process of our own
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while not (output / "checkpoints" / "checkpoint-6" / MARK).is_file():
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    marked_at = (output / "checkpoints" / "checkpoint-6" / MARK).stat().st_mtime_ns
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    torn = output / "checkpoints" / "checkpoint-23"
    torn.mkdir()
    (torn / "optimizer.pt").write_bytes(b"half")

    assert main(command) == 0
    assert len(losses(output)) == 24
    assert load_file(output / "adapter_model.safetensors")
    # What was done before the kill was not done again: its checkpoint is still the first process's.
    assert (output / "checkpoints" / "checkpoint-6" / MARK).stat().st_mtime_ns == marked_at


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--preset=no-such"], "no preset is named"),
        (["--preset=mixtral-8x7b"], "cannot be tuned"),
        (["--method=full"], "use lora or qlora"),
        (["--model=/nowhere"], "/nowhere"),
        (["--data=/nowhere"], "no data"),
    ],
)
def test_a_useless_start_ends_with_one_sentence_and_exit_code_1(
    tmp_path: Path,
    weights: Path,
    change: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = write_lesson(tmp_path / "data")
    assert main([*arguments(weights, data, tmp_path / "out"), *change]) == 1
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_a_typo_in_the_configuration_is_answered_with_the_nearest_key(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, learning_rat=0.1)
    data = write_lesson(tmp_path / "data")
    assert main(arguments(weights, data, tmp_path / "out", f"--config={config}")) == 1
    assert "TrainingArguments.learning_rat" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Shelf, list[str]]]:
    """A repository at a played hub, and the arguments that name it."""
    monkeypatch.setattr(asking, "FIRST_WAIT_SECONDS", 0.0)
    shelf = Shelf(repo="team/style", token="hf_write")  # noqa: S106 - of a played hub
    with serving(Hub(repo="", revision="", files={}, shelf=shelf)) as hub:
        yield shelf, [f"--hub={hub.endpoint}", f"--upload={shelf.repo}"]


def write_token(folder: Path, shelf: Shelf) -> str:
    (folder / "token").write_text(f"{shelf.token}\n")
    return f"--upload-token={folder / 'token'}"


def test_the_adapter_is_uploaded_and_nothing_else_of_the_folder(
    tmp_path: Path, weights: Path, shelf: tuple[Shelf, list[str]]
) -> None:
    repository, flags = shelf
    config = write_config(tmp_path, max_steps=2, per_device_train_batch_size=1)
    data = write_lesson(tmp_path / "data")
    output = tmp_path / "out"
    token = write_token(tmp_path, repository)
    command = arguments(weights, data, output, f"--config={config}", *flags, token)
    assert main(command) == 0
    names = ("adapter_config.json", "adapter_model.safetensors")
    assert repository.branches == {"main": {name: (output / name).read_bytes() for name in names}}
    assert repository.messages == [f"Adapter of {PRESET.repo} at {PRESET.revision}"]

    # Another try of the same Job goes on behind the last step, and commits nothing twice.
    assert main(command) == 0
    assert len(repository.messages) == 1


def test_a_hub_that_does_not_take_it_is_told_before_the_weights_are_read(
    tmp_path: Path, shelf: tuple[Shelf, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    repository, flags = shelf
    nowhere = Path("/nowhere")
    known = arguments(nowhere, nowhere, tmp_path / "out", *flags, write_token(tmp_path, repository))
    for refused, words in (
        ([*known[:-1]], "no token"),
        ([*known[:-1], "--upload-token=/nowhere"], "the token's file: "),
        ([*known, "--upload=hf://team/style"], "write owner/name"),
        ([*known, "--upload=others/style"], "may not write there"),
    ):
        assert main(refused) == 1
        assert words in capsys.readouterr().err.splitlines()[-1]
    repository.faults["repos/create"] = [503] * 99
    assert main(known) == 70
    assert "10 attempts; the last: " in capsys.readouterr().err.splitlines()[-1]
