"""A folder of weights is what its lock says, to the last byte, or it is refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from model_presets.catalog import load_catalog
from model_presets.convert import convert
from model_presets.lock import (
    LOCK_NAME,
    WrongWeights,
    is_wanted,
    make_lock,
    read_lock,
    verify,
    write_lock,
)
from safetensors.torch import load_file, save_file

PRESET = load_catalog().get("tiny-mistral")
SHARD = "model-00001-of-00002.safetensors"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Give a small folder in the hub's layout, with its lock."""
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "mistral"}')
    (folder / "tokenizer.json").write_text("{}")
    for number in (1, 2):
        tensors = {f"layer.{number}": torch.arange(100, dtype=torch.float32) * number}
        save_file(tensors, folder / f"model-0000{number}-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    write_lock(folder, make_lock(folder, PRESET))
    return folder


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_an_untouched_folder_is_taken(weights: Path) -> None:
    lock = read_lock(weights)
    verify(weights, lock, PRESET)
    assert (lock.repo, lock.revision) == (PRESET.repo, PRESET.revision)
    assert [file.path for file in lock.files] == [
        "config.json",
        SHARD,
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
    ]
    assert lock.total_bytes == sum((weights / file.path).stat().st_size for file in lock.files)


def test_the_digest_is_the_lock_files_and_does_not_depend_on_the_folder(weights: Path) -> None:
    first = read_lock(weights)
    moved = weights.rename(weights.with_name("elsewhere"))
    assert make_lock(moved, PRESET).digest == first.digest
    flip_a_byte(moved / SHARD)
    assert make_lock(moved, PRESET).digest != first.digest


@pytest.mark.parametrize(
    "name", ["config.json", SHARD, "tokenizer.json", "model.safetensors.index.json"]
)
def test_one_changed_byte_of_any_file_is_noticed(weights: Path, name: str) -> None:
    if name == "config.json":
        (weights / name).write_text('{"model_type": "mistraL"}')
    else:
        flip_a_byte(weights / name)
    with pytest.raises(WrongWeights, match="SHA-256") as caught:
        verify(weights, read_lock(weights))
    assert caught.value.path == weights / name


def cut_short(folder: Path) -> Path:
    (folder / SHARD).write_bytes((folder / SHARD).read_bytes()[:-1])
    return folder / SHARD


def missing(folder: Path) -> Path:
    (folder / SHARD).unlink()
    return folder / SHARD


def too_much(folder: Path) -> Path:
    (folder / "generation_config.json").write_text("{}")
    return folder / "generation_config.json"


def pickled(folder: Path) -> Path:
    torch.save({"layer": torch.zeros(1)}, folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


def script(folder: Path) -> Path:
    (folder / "modeling_mistral.py").write_text("raise SystemExit('this ran')")
    return folder / "modeling_mistral.py"


def script_below(folder: Path) -> Path:
    (folder / "code").mkdir()
    (folder / "code" / "config.json").write_text("{}")
    return folder / "code" / "config.json"


def link_out(folder: Path) -> Path:
    outside = folder.with_name("outside.json")
    outside.write_bytes((folder / "tokenizer.json").read_bytes())
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to(outside)
    return folder / "tokenizer.json"


def folder_link_out(folder: Path) -> Path:
    (folder / "more").symlink_to(folder.parent)
    return folder / "more"


def remote_code(folder: Path) -> Path:
    (folder / "config.json").write_text('{"auto_map": {"AutoModel": "evil--model"}}')
    return folder / "config.json"


def broken_config(folder: Path) -> Path:
    (folder / "config.json").write_text("{")
    return folder / "config.json"


FAULTS = [
    cut_short,
    missing,
    too_much,
    pickled,
    script,
    script_below,
    link_out,
    folder_link_out,
    remote_code,
    broken_config,
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_by_its_file(weights: Path, fault: Callable[[Path], Path]) -> None:
    lock = read_lock(weights)
    path = fault(weights)
    with pytest.raises(WrongWeights) as caught:
        verify(weights, lock, PRESET)
    assert caught.value.path == path


@pytest.mark.parametrize("fault", [pickled, script, link_out, remote_code])
def test_a_folder_with_code_in_it_gets_no_lock(
    weights: Path, fault: Callable[[Path], Path]
) -> None:
    fault(weights)
    with pytest.raises(WrongWeights):
        make_lock(weights, PRESET)


def test_another_models_lock_is_refused(weights: Path) -> None:
    other = load_catalog().get("mistral-7b")
    with pytest.raises(WrongWeights, match=f"preset mistral-7b pins .* at {other.revision}"):
        verify(weights, read_lock(weights), other)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "missing"),
        ("{", "not a lock file"),
        ("[]", "not a lock file"),
        ('{"version": 2}', "version 2, expected 1"),
        ('{"version": 1, "repo": "a/b", "revision": "c", "files": [{}]}', "not a lock file"),
    ],
)
def test_a_lock_that_is_none_is_refused(weights: Path, content: str | None, words: str) -> None:
    path = weights / LOCK_NAME
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(WrongWeights, match=words):
        read_lock(weights)


def test_a_folder_without_weights_or_no_folder_gets_no_lock(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WrongWeights, match="holds no"):
        make_lock(tmp_path, PRESET)
    with pytest.raises(WrongWeights, match="not a folder"):
        make_lock(tmp_path / "nowhere", PRESET)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("config.json", True),
        ("model.safetensors", True),
        ("model-00001-of-00003.safetensors", True),
        ("tokenizer.model", True),
        ("consolidated.safetensors", False),
        ("pytorch_model-00001-of-00002.bin", False),
        ("README.md", False),
        ("modeling_mistral.py", False),
        ("../config.json", False),
        ("sub/config.json", False),
        ("config.json\n", False),
    ],
)
def test_only_config_tokenizer_and_safetensors_are_wanted(name: str, *, wanted: bool) -> None:
    assert is_wanted(name) is wanted


def test_pickled_shards_become_safetensors_of_the_same_tensors(weights: Path) -> None:
    before = {}
    for number in (1, 2):
        shard = weights / f"model-0000{number}-of-00002.safetensors"
        tensors = load_file(shard)
        before.update(tensors)
        torch.save(tensors, weights / f"pytorch_model-0000{number}-of-00002.bin")
        shard.unlink()
    (weights / "pytorch_model.bin.index.json").write_text("{}")

    described = convert(weights)

    assert [file.path for file in described] == [
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
    ]
    assert not list(weights.glob("pytorch_model*"))
    index = json.loads((weights / "model.safetensors.index.json").read_text())
    after = {name: load_file(weights / shard)[name] for name, shard in index["weight_map"].items()}
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in before.values())
    lock = make_lock(weights, PRESET, described)
    write_lock(weights, lock)
    assert read_lock(weights) == lock
    verify(weights, lock, PRESET)
    assert convert(weights) == ()


class Payload:
    """A pickle that would leave a mark if anything ran it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return (os.mkdir, (str(self.mark),))


def test_a_pickle_with_code_is_refused_and_does_not_run(weights: Path) -> None:
    mark = weights.with_name("it-ran")
    torch.save({"layer": Payload(mark)}, weights / "pytorch_model.bin")
    with pytest.raises(WrongWeights, match=r"pytorch_model\.bin"):
        convert(weights)
    assert not mark.exists()


def test_a_pickle_of_something_else_is_refused(weights: Path) -> None:
    torch.save([torch.zeros(1)], weights / "pytorch_model.bin")
    with pytest.raises(WrongWeights, match="not a mapping"):
        convert(weights)
