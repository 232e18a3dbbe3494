import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from model_server.compute.checkpoint import BadCheckpoint, read_checkpoint


def write_weights(path: Path, **tensors: int) -> None:
    """Write a safetensors file of byte tensors of these sizes."""
    header, offset = {}, 0
    for name, size in tensors.items():
        offsets = [offset, offset + size]
        header[name] = {"dtype": "U8", "shape": [size], "data_offsets": offsets}
        offset += size
    head = json.dumps(header | {"__metadata__": {"format": "pt"}}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(offset))


def write_index(folder: Path, **weight_map: str) -> None:
    text = json.dumps({"metadata": {}, "weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two weight files and an index, as the hub lays out larger models."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mistral"}))
    write_weights(tmp_path / "model-1.safetensors", a=10, b=20)
    write_weights(tmp_path / "model-2.safetensors", c=5)
    write_index(tmp_path, a="model-1.safetensors", b="model-1.safetensors", c="model-2.safetensors")
    return tmp_path


def test_bytes_are_counted_from_the_headers(folder: Path) -> None:
    checkpoint = read_checkpoint(folder)
    assert checkpoint.total_bytes == 35
    assert [dict(file.tensor_bytes) for file in checkpoint.files] == [{"a": 10, "b": 20}, {"c": 5}]
    assert checkpoint.config["model_type"] == "mistral"


def test_a_single_file_needs_no_index(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mixtral"}))
    write_weights(tmp_path / "model.safetensors", a=3)
    assert read_checkpoint(tmp_path).total_bytes == 3


def change_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def only_pickle(folder: Path) -> None:
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    (folder / "pytorch_model-00001-of-00002.bin").write_bytes(b"pickle")


def no_weights(folder: Path) -> None:
    for path in folder.glob("*.safetensors*"):
        path.unlink()


def cut(name: str, length: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[:length])

    return change


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: (f / "config.json").unlink(), "config.json is missing"),
        (lambda f: (f / "config.json").write_text("{"), "config.json is not JSON"),
        (lambda f: (f / "config.json").write_text("[]"), "config.json is not a JSON object"),
        (lambda f: change_config(f, auto_map={"AutoModel": "x.Y"}), "has an auto_map"),
        (lambda f: change_config(f, model_type="llama"), "model_type 'llama'"),
        (lambda f: change_config(f, quantization_config={}), "quantization_config"),
        (lambda f: (f / "modeling_evil.py").write_text(""), r"brings code \(modeling_evil.py\)"),
        (only_pickle, "pickle only .* convert them to safetensors"),
        (no_weights, "has neither model.safetensors nor"),
        (lambda f: (f / "model-2.safetensors").unlink(), "lacks model-2.safetensors"),
        (cut("model-1.safetensors", -1), "copy it again"),
        (cut("model-1.safetensors", 20), "no whole header"),
        (cut("model-1.safetensors", 5), "no whole header"),
        (lambda f: (f / "model-2.safetensors").write_bytes(b""), "0 bytes and no whole header"),
        (lambda f: write_index(f), "has no weight_map"),  # noqa: PLW0108 - like its neighbours
        (lambda f: write_index(f, a="../model-1.safetensors"), "it must be a .* beside it"),
        (lambda f: write_index(f, a="model-1.bin"), "it must be a .* beside it"),
        (lambda f: write_index(f, z="model-1.safetensors"), "lacks the tensor z"),
    ],
)
def test_damage_is_named_in_one_sentence(
    folder: Path, damage: Callable[[Path], object], says: str
) -> None:
    damage(folder)
    with pytest.raises(BadCheckpoint, match=says) as caught:
        read_checkpoint(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b"[]",
        b"3",
        b'{"a": {}}',
        b'{"a": {"data_offsets": [1]}}',
        b'{"": 1}',
        b'{"a": {"data_offsets": ["x", "y"]}}',
    ],
)
def test_a_damaged_header_is_named(folder: Path, header: bytes) -> None:
    path = folder / "model-2.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(BadCheckpoint, match="damaged header"):
        read_checkpoint(folder)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="is not a folder: point --model"):
        read_checkpoint(tmp_path / "nowhere")
