"""
Judge a folder of weights before torch is asked to load it.

A model that cannot be served should say so in one sentence within milliseconds, not as a stack
trace after minutes, and nothing in the folder may run: weights come as safetensors only, and a
folder that brings code of its own is refused. Reading the headers also says how many bytes there
are to load, which is what progress is measured against.

Must not import torch: it reads JSON and file sizes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUPPORTED_MODEL_TYPES = ("mistral", "mixtral")
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
# A safetensors file is 8 bytes of header length, the header as JSON, then the tensors.
# Source: https://huggingface.co/docs/safetensors (format), 2026-11.
LENGTH_BYTES = 8
LONGEST_HEADER_BYTES = 100_000_000  # the format's own bound


class BadCheckpoint(Exception):
    """Report, in one sentence, what is wrong with a folder, where, and what helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFile:
    """Name one file and the size of each tensor in it."""

    path: Path
    tensor_bytes: Mapping[str, int]
    tensor_shapes: Mapping[str, tuple[int, ...]]
    tensor_dtypes: Mapping[str, str]  # as safetensors spells them


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Describe a folder that may be loaded."""

    directory: Path
    config: Mapping[str, Any]
    files: tuple[WeightFile, ...]

    @property
    def total_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(sum(file.tensor_bytes.values()) for file in self.files)


def read_checkpoint(directory: Path) -> Checkpoint:
    """
    Read what the folder holds, all but the tensors themselves.

    Raises:
        BadCheckpoint: If it cannot be served as it is.
    """
    if not directory.is_dir():
        raise BadCheckpoint(f"{directory} is not a folder: point --model at the model's folder")
    config = _read_json(directory / "config.json")
    _refuse_code(directory, config)
    _refuse_unknown_models(directory, config)
    files = tuple(read_header(path) for path in _weight_files(directory))
    _compare_with_index(directory, files)
    return Checkpoint(directory=directory, config=config, files=files)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadCheckpoint(f"{path} is missing: copy the model's whole folder") from None
    except ValueError as error:
        raise BadCheckpoint(f"{path} is not JSON ({error}): copy the file again") from None
    if not isinstance(content, dict):
        raise BadCheckpoint(f"{path} is not a JSON object: copy the file again")
    return content


def _refuse_code(directory: Path, config: Mapping[str, Any]) -> None:
    if "auto_map" in config:
        raise BadCheckpoint(
            f"{directory / 'config.json'} has an auto_map, it asks to run the model's own code: "
            "code of a model is never run, use a model that transformers knows by itself"
        )
    code = sorted(path.name for path in directory.glob("*.py"))
    if code:
        raise BadCheckpoint(
            f"{directory} brings code ({', '.join(code)}): code of a model is never run, remove it"
        )


def _refuse_unknown_models(directory: Path, config: Mapping[str, Any]) -> None:
    model_type = config.get("model_type")
    if model_type not in SUPPORTED_MODEL_TYPES:
        raise BadCheckpoint(
            f"{directory / 'config.json'} is of a model_type {model_type!r}: "
            f"this server runs {' and '.join(SUPPORTED_MODEL_TYPES)}"
        )
    if "quantization_config" in config:
        raise BadCheckpoint(
            f"{directory / 'config.json'} has a quantization_config: "
            "this server runs unquantized weights, use those"
        )


def _weight_files(directory: Path) -> list[Path]:
    """Find the files that make up the weights, in a stable order."""
    index = directory / INDEX_FILE
    if index.is_file():
        names = sorted(set(_weight_map(index).values()))
        missing = [name for name in names if not (directory / name).is_file()]
        if missing:
            raise BadCheckpoint(
                f"{directory} lacks {missing[0]} (and {len(missing) - 1} more) of the "
                f"{len(names)} weight files that {INDEX_FILE} lists: copy them again"
            )
        return [directory / name for name in names]
    if (directory / SINGLE_FILE).is_file():
        return [directory / SINGLE_FILE]
    pickles = sorted(path.name for path in directory.iterdir() if path.suffix in PICKLE_SUFFIXES)
    if pickles:
        raise BadCheckpoint(
            f"{directory} holds its weights as pickle only ({pickles[0]}), which can run code when "
            "it is read: convert them to safetensors"
        )
    raise BadCheckpoint(
        f"{directory} has neither {SINGLE_FILE} nor {INDEX_FILE}: copy the model's weights there"
    )


def _weight_map(index: Path) -> dict[str, str]:
    """Read which tensor lies in which file."""
    weight_map = _read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise BadCheckpoint(f"{index} has no weight_map: copy the file again")
    for name in weight_map.values():
        if not isinstance(name, str) or Path(name).name != name or not name.endswith("safetensors"):
            raise BadCheckpoint(
                f"{index} names {name!r} as a weight file: it must be a *.safetensors beside it"
            )
    return weight_map


def read_header(path: Path) -> WeightFile:
    """
    Read what a safetensors file says of its tensors.

    Raises:
        BadCheckpoint: If the header is damaged, or the file is shorter or longer than it says.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if size < LENGTH_BYTES or not 0 < length <= min(size - LENGTH_BYTES, LONGEST_HEADER_BYTES):
            raise BadCheckpoint(
                f"{path} has {size:,} bytes and no whole header: it was cut short or is no "
                "safetensors file, copy it again"
            )
        header = file.read(length)
    try:
        tensors = {name: entry for name, entry in json.loads(header).items() if name[0] != "_"}
        spans = {name: entry["data_offsets"] for name, entry in tensors.items()}
        tensor_bytes = {name: int(end) - int(start) for name, (start, end) in spans.items()}
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in tensors.items()}
        dtypes = {name: str(entry["dtype"]) for name, entry in tensors.items()}
        wanted = LENGTH_BYTES + length + max((int(end) for _, end in spans.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        raise BadCheckpoint(f"{path} has a damaged header: copy it again") from None
    if size != wanted:
        raise BadCheckpoint(f"{path} has {size:,} bytes of {wanted:,}: copy it again")
    return WeightFile(
        path=path, tensor_bytes=tensor_bytes, tensor_shapes=shapes, tensor_dtypes=dtypes
    )


def _compare_with_index(directory: Path, files: tuple[WeightFile, ...]) -> None:
    index = directory / INDEX_FILE
    if not index.is_file():
        return
    held = {file.path.name: file.tensor_bytes for file in files}
    for tensor, name in _weight_map(index).items():
        if tensor not in held[name]:
            raise BadCheckpoint(
                f"{directory / name} lacks the tensor {tensor} that {INDEX_FILE} places there: "
                "the files are of different models, copy the whole folder again"
            )
