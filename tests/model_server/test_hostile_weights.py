"""
A folder that was tampered with is refused before anything of it runs.

One process tries to start from every folder in turn, with an audit hook that notes what no start
may do: unpickle, connect, start a process, or run a file of the folder.
"""

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from model_presets.catalog import load_catalog
from model_presets.lock import LOCK_NAME, make_lock, write_lock

pytestmark = pytest.mark.timeout(240)  # one process imports torch

START = """
import json, sys
from pathlib import Path

seen = []
FORBIDDEN = ("pickle.find_class", "socket.connect", "subprocess.Popen", "os.system", "os.exec")

def note(event, arguments):
    if event in FORBIDDEN and "guarded" in globals():
        seen.append(f"{event} {arguments!r}")
    if event == "exec" and "hostile" in getattr(arguments[0], "co_filename", ""):
        seen.append(f"ran {arguments[0].co_filename}")

sys.addaudithook(note)

from model_server.api.lifecycle import Lifecycle
from model_server.settings import BadStart, Settings
from model_server.startup import find_preset, identity_of, load, names_of

import model_server.assembly  # what libraries do while they are imported is not under test

guarded = True
said = {}
for folder in map(Path, sys.argv[1:]):
    settings = Settings(model=folder, preset="tiny-mistral", device="cpu")
    preset = find_preset(settings)
    try:
        load(settings, preset, Lifecycle(identity_of(names_of(settings, preset))))
        said[folder.name] = None
    except BadStart as error:
        said[folder.name] = str(error)
print(json.dumps({"said": said, "seen": seen}))
"""

Fault = Callable[[Path], object]


class Payload:
    """Write a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._canary,)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **fields}))


def code(canary: Path) -> str:
    return f"open({str(canary)!r}, 'w').close()"


def only_pickle(folder: Path, canary: Path) -> None:
    for file in [*folder.glob("*.safetensors*"), folder / LOCK_NAME]:
        file.unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(canary)))


def code_by_config(folder: Path, canary: Path) -> None:
    (folder / LOCK_NAME).unlink()
    edit(folder / "config.json", auto_map={"AutoModelForCausalLM": "sub/evil.Model"})
    (folder / "sub").mkdir()
    (folder / "sub" / "evil.py").write_text(code(canary))


def code_by_tokenizer(folder: Path, canary: Path) -> None:
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]})
    (folder / LOCK_NAME).unlink()
    (folder / "evil.py").write_text(code(canary))


def linked(folder: Path, name: str) -> None:
    outside = folder.parent / f"outside-{folder.name}"
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)


def other_revision(folder: Path) -> None:
    edit(folder / LOCK_NAME, revision="1" * 40)


def faults_of(weights: Path, canary: Path) -> dict[str, tuple[Fault, str]]:
    """Return each fault and a word of the refusal; bytes are flipped in every file in turn."""
    shard = min(path.name for path in weights.glob("*.safetensors"))
    preset = load_catalog().get("tiny-mistral")
    flipped = {
        f"hostile-flipped-{path.name}": (lambda f, n=path.name: flip(f / n), path.name)
        for path in weights.iterdir()
        if path.name != LOCK_NAME
    }
    return {
        **flipped,
        "hostile-cut": (lambda f: (f / shard).write_bytes((f / shard).read_bytes()[:-9]), shard),
        "hostile-missing": (lambda f: (f / shard).unlink(), shard),
        "hostile-extra": (lambda f: (f / "notes.txt").write_text("x"), "notes.txt"),
        "hostile-code": (lambda f: (f / "modeling_evil.py").write_text(code(canary)), "code"),
        "hostile-pickle": (lambda f: only_pickle(f, canary), "pickle"),
        "hostile-auto-map": (lambda f: code_by_config(f, canary), "auto_map"),
        "hostile-tokenizer": (lambda f: code_by_tokenizer(f, canary), "code"),
        "hostile-link": (lambda f: linked(f, shard), shard),
        "hostile-config-link": (lambda f: linked(f, "config.json"), "config.json"),
        "hostile-revision": (other_revision, "1" * 40),
        "hostile-lock": (lambda f: (f / LOCK_NAME).write_text("{}"), LOCK_NAME),
        "hostile-other-lock": (
            lambda f: write_lock(f, make_lock(f, load_catalog().get("mistral-7b-instruct"))),
            f"preset {preset.name} pins",
        ),
    }


def test_every_tampered_folder_is_refused_and_nothing_of_it_runs(
    tiny_weights: Path, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    faults = faults_of(tiny_weights, canary)
    for name, (fault, _) in faults.items():
        shutil.copytree(tiny_weights, tmp_path / name)
        fault(tmp_path / name)
    shutil.copytree(tiny_weights, tmp_path / "untouched")
    folders = [*(str(tmp_path / name) for name in faults), str(tmp_path / "untouched")]
    line = [sys.executable, "-c", START, *folders]
    done = subprocess.run(line, capture_output=True, text=True, timeout=200, check=False)  # noqa: S603 - our own program
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    taken = [name for name, sentence in result["said"].items() if sentence is None]
    assert taken == ["untouched"]
    unnamed = {
        name: result["said"][name]
        for name, (_, word) in faults.items()
        if word not in result["said"][name]
    }
    assert unnamed == {}
    assert not canary.exists()
    assert result["seen"] == []
