"""
Judge the folder of an adapter before torch is asked to load it.

As with the base's own weights (`checkpoint`), an adapter that cannot be served says so in one
sentence within milliseconds: two small headers and a configuration are read and compared. Every
tensor must be one that the configuration announces for a layer that the base has, in the shape that
fits there, and none may be missing, since peft would put zeros or random numbers for it.

The digest of an adapter is that of its two files, as a shell makes it:

    sha256sum adapter_config.json adapter_model.safetensors | sha256sum

Must not import torch: it reads JSON and bytes.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_server.adapter_choice import AdapterChoice
from model_server.compute.adapter_config import AdapterConfig, BadAdapter, Unusable, parse_config
from model_server.compute.checkpoint import (
    PICKLE_SUFFIXES,
    BadCheckpoint,
    Checkpoint,
    WeightFile,
    read_header,
)

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
LONGEST_CONFIG_BYTES = 1_000_000
# The linear layers of Mistral that adapters change, and of Mixtral those of attention.
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
DTYPES = ("F32", "F16", "BF16")
PREFIX = "base_model.model."  # of every tensor that peft saves


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedBase:
    """Say what is served, as far as it is known, for adapters that name what they belong to."""

    names: tuple[str, ...] = ()  # empty: nothing is known
    revision: str | None = None

    def refuse_others(self, config: AdapterConfig) -> None:
        """
        Refuse an adapter of another base.

        A path instead of a name says nothing, since it was one of the machine that trained: the
        shapes have to do. So does a name where the served folder has neither preset nor lock.

        Raises:
            Unusable: with the key at fault.
        """
        named = config.base is not None and not config.base.startswith(("/", ".", "~"))
        if named and self.names and str(config.base).lower() not in map(str.lower, self.names):
            remedy = f"this server runs {self.names[0]}, serve the adapter with its own base"
            raise Unusable("base_model_name_or_path", config.base, remedy)
        if config.revision and self.revision and config.revision != self.revision:
            remedy = f"this server runs {self.revision}, train the adapter on that"
            raise Unusable("revision", config.revision, remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterCheckpoint:
    """Describe an adapter that may be loaded."""

    name: str
    directory: Path
    strength: float
    config: AdapterConfig
    modules: tuple[str, ...]  # full names of the layers that it changes
    total_bytes: int

    @property
    def weights(self) -> Path:
        """The file of its tensors."""
        return self.directory / WEIGHTS_FILE

    def scale_of(self, module: str) -> float:
        """Return the factor of `B A x` at a module, strength and all."""
        return self.config.scale_of(module) * self.strength

    def digest(self) -> str:
        """Read both files and return what attests them."""
        lines = [f"{_sha256(self.directory / n)}  {n}\n" for n in (CONFIG_FILE, WEIGHTS_FILE)]
        return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def tensor_names(module: str) -> tuple[str, str]:
    """Return the names of A and B of a module in an adapter's file."""
    return f"{PREFIX}{module}.lora_A.weight", f"{PREFIX}{module}.lora_B.weight"


def read_adapters(
    choices: Sequence[AdapterChoice], checkpoint: Checkpoint, base: ServedBase
) -> tuple[AdapterCheckpoint, ...]:
    """
    Read what each folder holds, all but the tensors themselves.

    Raises:
        BadAdapter: names the first adapter that cannot be served, and why.
    """
    return tuple(_read(choice, checkpoint, base) for choice in choices)


def _read(choice: AdapterChoice, checkpoint: Checkpoint, base: ServedBase) -> AdapterCheckpoint:
    try:
        _refuse_folder(choice.directory)
        config = parse_config(_read_json(choice.directory / CONFIG_FILE))
        base.refuse_others(config)
        file = read_header(choice.directory / WEIGHTS_FILE)
        layers = dict(_linear_layers(checkpoint))
        modules = _modules(config, layers)
        _compare(config, {module: layers[module] for module in modules}, file)
    except (BadAdapter, BadCheckpoint) as error:
        raise BadAdapter(f"--adapter {choice.name}: {error}") from error
    return AdapterCheckpoint(
        name=choice.name,
        directory=choice.directory,
        strength=choice.strength,
        config=config,
        modules=modules,
        total_bytes=sum(file.tensor_bytes.values()),
    )


def _refuse_folder(directory: Path) -> None:
    if not directory.is_dir():
        raise BadAdapter(f"{directory} is not a folder: give the folder of {CONFIG_FILE}")
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (directory / name).is_file():
            _refuse_pickle(directory)
            raise BadAdapter(f"{directory / name} is missing: copy the adapter's whole folder")
        if not (directory / name).resolve().is_relative_to(directory.resolve()):
            raise BadAdapter(
                f"{directory / name} is a link out of its folder: put the file itself there"
            )


def _refuse_pickle(directory: Path) -> None:
    pickles = sorted(path.name for path in directory.iterdir() if path.suffix in PICKLE_SUFFIXES)
    if pickles and not (directory / WEIGHTS_FILE).is_file():
        raise BadAdapter(
            f"{directory} holds its weights as pickle only ({pickles[0]}), which can run code when "
            "it is read: save the adapter as safetensors"
        )


def _read_json(path: Path) -> object:
    if path.stat().st_size > LONGEST_CONFIG_BYTES:
        raise BadAdapter(f"{path} is longer than {LONGEST_CONFIG_BYTES:,} bytes: copy it again")
    try:
        content: object = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise BadAdapter(f"{path} is not JSON: copy the file again") from None
    return content


def _linear_layers(checkpoint: Checkpoint) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the layers of the base that an adapter may change, with the shape of their weight."""
    for file in checkpoint.files:
        for tensor, shape in file.tensor_shapes.items():
            module = tensor.removesuffix(".weight")
            if module != tensor and module.rpartition(".")[2] in LINEAR:
                yield module, shape


def _modules(config: AdapterConfig, layers: Mapping[str, object]) -> tuple[str, ...]:
    """Find the layers that the configuration means; each of its targets must mean one."""
    for target in config.targets or ():
        if not any(layer == target or layer.endswith(f".{target}") for layer in layers):
            kinds = sorted({layer.rpartition(".")[2] for layer in layers})
            raise Unusable(
                "target_modules", target, f"of this base, {', '.join(kinds)} can be adapted"
            )
    return tuple(sorted(layer for layer in layers if config.adapts(layer)))


def _compare(
    config: AdapterConfig, layers: Mapping[str, tuple[int, ...]], file: WeightFile
) -> None:
    """Hold every tensor against the one that must be there."""
    wanted: dict[str, tuple[int, ...]] = {}
    for module, (rows, columns) in layers.items():
        down, up = tensor_names(module)
        rank = config.rank_of(module)
        wanted |= {down: (rank, columns), up: (rows, rank)}
    for tensor in sorted(wanted.keys() ^ file.tensor_shapes.keys()):
        word = "lacks" if tensor in wanted else "has"
        raise BadAdapter(
            f"{file.path} {word} the tensor {tensor}, against target_modules: the files are of "
            "different adapters or another base, copy the whole folder again"
        )
    for tensor, shape in wanted.items():
        if file.tensor_shapes[tensor] != shape:
            raise BadAdapter(
                f"{file.path} has {tensor} in the shape {list(file.tensor_shapes[tensor])}, the "
                f"base and r want {list(shape)}: serve the adapter with its own base"
            )
        if file.tensor_dtypes[tensor] not in DTYPES:
            raise BadAdapter(
                f"{file.path} has {tensor} as {file.tensor_dtypes[tensor]}: "
                f"save the adapter as one of {', '.join(DTYPES)}"
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
