"""
Load a checkpoint through transformers, and say what the engine must know about it.

The modules, their weights' names and their config are Hugging Face's: `from_pretrained` builds the
model, converts and places the tensors (accelerate's `device_map`), with nothing from a network and
no code of the model's own. It is given the tensors as slices that count their bytes when they are
taken, so that progress is what was really read.

Nothing random may be served: a tensor that the checkpoint lacks, or has in another shape, is an
error, where transformers would warn and make one up.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from torch import nn
from transformers import (
    AutoConfig,
    GenerationConfig,
    MistralForCausalLM,
    MixtralForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from model_server.compute.checkpoint import BadCheckpoint, Checkpoint, read_checkpoint
from model_server.compute.lora import Adapters
from model_server.compute.placement import device_of, join, off_gpu, output_device
from model_server.compute.processors import usable_processors
from model_server.lean_import import no_first_values

Progress = Callable[[int, int], None]  # bytes loaded, bytes in total

MODELS: dict[str, type[PreTrainedModel]] = {
    "mistral": MistralForCausalLM,
    "mixtral": MixtralForCausalLM,
}
# Below this size threads cost more than they save: matrices of a few hundred rows, and every thread
# that waits for a shared processor holds the others up.
SMALL_MODEL_BYTES = 64 * 2**20
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """Hold a model that is ready to compute, and the facts about it."""

    module: PreTrainedModel
    device: torch.device
    dtype: torch.dtype
    vocabulary_size: int
    context_length: int  # longest prompt and answer that its config allows, tokens
    sliding_window: int | None
    eos_token_ids: frozenset[int]
    weight_bytes: int  # as stored in the checkpoint
    adapters: Adapters | None = None  # beside the weights; merged ones are in them

    @property
    def is_small(self) -> bool:
        """Whether the weights stay in a CPU's caches."""
        return self.weight_bytes < SMALL_MODEL_BYTES

    @property
    def kv_shape(self) -> tuple[int, int]:
        """Key-value heads and the size of each: what one position keeps, twice, per layer."""
        config = self.module.config
        head = getattr(config, "head_dim", None)
        return (
            config.num_key_value_heads,
            head or config.hidden_size // config.num_attention_heads,
        )

    @property
    def output_device(self) -> torch.device:
        """Where the logits come to lie: with several GPUs not where the tokens go in."""
        return output_device(self.module)

    @property
    def layer_devices(self) -> tuple[torch.device, ...]:
        """Where each layer's weights are: its keys and values belong there too."""
        layers = cast("nn.ModuleList", self.module.base_model.layers)
        return tuple(map(device_of, layers))

    @property
    def kv_bytes_per_token(self) -> int:
        """
        Bytes of keys and values that one position keeps, in all layers.

        Mistral 7B in BF16: 2 x 32 layers x 8 heads x 128 x 2 bytes = 131,072.
        """
        heads, size = self.kv_shape
        return 2 * len(self.layer_devices) * heads * size * self.dtype.itemsize


def load_model(directory: Path, *, device: str, dtype: str, progress: Progress) -> LoadedModel:
    """
    Load the model in a folder of the hub's layout.

    Args:
        directory: Holds config.json and *.safetensors.
        device: `auto` (a GPU if there is one), `cpu` or `cuda`.
        dtype: `auto` (the checkpoint's on a GPU, float32 on a CPU), `bfloat16` or `float32`.
        progress: Told the bytes loaded and the bytes in total, at the start and as they come; from
            several threads, one at a time.

    Raises:
        BadCheckpoint: If the folder cannot be served, or the device is not there.
    """
    checkpoint = read_checkpoint(directory)
    where = choose_device(device)
    config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    what = choose_dtype(dtype, where, config)
    torch.set_num_threads(_threads(checkpoint))
    set_verbosity_error()  # type: ignore[no-untyped-call] # what it warns of is an error here
    disable_progress_bar()  # type: ignore[no-untyped-call] # transformers left it untyped
    module = _load_module(checkpoint, config, where, what, progress)
    return LoadedModel(
        module=module,
        device=where,
        dtype=what,
        vocabulary_size=config.vocab_size,
        context_length=config.max_position_embeddings,
        sliding_window=getattr(config, "sliding_window", None),
        eos_token_ids=_eos_token_ids(directory, config),
        weight_bytes=checkpoint.total_bytes,
    )


def choose_device(device: str) -> torch.device:
    """
    Turn the setting into a device.

    Raises:
        BadCheckpoint: If a GPU is asked for and there is none.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BadCheckpoint(
            "device cuda: torch sees no GPU, check the node's driver and the pod's nvidia.com/gpu "
            "limit, or use --device cpu"
        )
    return torch.device(device)


def choose_dtype(dtype: str, device: torch.device, config: PretrainedConfig) -> torch.dtype:
    """
    Turn the setting into a dtype.

    On a CPU without matrix units for BF16, products in it are 7.5 times slower than in FP32, so
    FP32 is the default there.
    """
    if dtype != "auto":
        return DTYPES[dtype]
    if device.type == "cpu":
        return torch.float32
    return torch.float32 if config.dtype == torch.float32 else torch.bfloat16


def _threads(checkpoint: Checkpoint) -> int:
    """Count the threads that a product of matrices is worth."""
    return 1 if checkpoint.total_bytes < SMALL_MODEL_BYTES else usable_processors()


def _load_module(
    checkpoint: Checkpoint,
    config: PretrainedConfig,
    device: torch.device,
    dtype: torch.dtype,
    progress: Progress,
) -> PreTrainedModel:
    several = device == torch.device("cuda") and torch.cuda.device_count() > 1
    load: Callable[..., Any] = MODELS[config.model_type].from_pretrained
    with _counted_slices(checkpoint, progress) as slices, no_first_values():
        module, report = load(
            None,
            config=config,
            state_dict=slices,
            dtype=dtype,
            device_map="auto" if several else {"": device},
            ignore_mismatched_sizes=True,  # refused below, with the rest of what does not fit
            output_loading_info=True,
        )
    _refuse_made_up_weights(checkpoint, report)
    loaded: PreTrainedModel = module.eval()
    _refuse_what_is_off_gpu(loaded, device)
    join(loaded)
    return loaded


def _refuse_what_is_off_gpu(module: PreTrainedModel, device: torch.device) -> None:
    """A layer in main memory would make every token wait for gigabytes."""
    parts = off_gpu(getattr(module, "hf_device_map", {})) if device.type == "cuda" else []
    if parts:
        raise BadCheckpoint(
            f"{len(parts)} parts of the weights do not fit onto the GPUs, the first is {parts[0]}: "
            "take more or larger GPUs"
        )


class CountedSlice:
    """Stand for a tensor in a file: taken as `slice[...]`, like safetensors' own slices."""

    def __init__(self, stored: Any, taken: Callable[[], None]) -> None:  # noqa: ANN401 - untyped
        """Keep the stored slice and whom to tell."""
        self._stored = stored
        self._taken = taken

    def __getitem__(self, index: Any) -> torch.Tensor:  # noqa: ANN401 - what torch takes
        """Read the tensor."""
        tensor: torch.Tensor = self._stored[index]
        self._taken()
        return tensor

    def get_shape(self) -> list[int]:
        """Answer the tensor's shape without reading it."""
        shape: list[int] = self._stored.get_shape()
        return shape

    def get_dtype(self) -> str:
        """Answer the tensor's dtype without reading it, as safetensors spells it."""
        dtype: str = self._stored.get_dtype()
        return dtype


@contextmanager
def _counted_slices(
    checkpoint: Checkpoint, progress: Progress
) -> Iterator[dict[str, CountedSlice]]:
    """Open every file; each tensor counts once, when it is first taken."""
    total = checkpoint.total_bytes
    left = {name: size for file in checkpoint.files for name, size in file.tensor_bytes.items()}
    lock = threading.Lock()  # transformers takes tensors from several threads
    loaded = 0

    def count(name: str) -> None:
        nonlocal loaded
        with lock:
            loaded += left.pop(name, 0)
            progress(loaded, total)

    progress(0, total)
    with ExitStack() as files:
        slices = {}
        for file in checkpoint.files:
            opened = files.enter_context(safe_open(file.path, framework="pt"))
            for name in file.tensor_bytes:
                slices[name] = CountedSlice(opened.get_slice(name), partial(count, name))
        yield slices


def _refuse_made_up_weights(checkpoint: Checkpoint, report: Mapping[str, Any]) -> None:
    for kind in ("missing_keys", "mismatched_keys"):
        # A mismatched key comes with its two shapes.
        keys = sorted(key[0] if isinstance(key, tuple) else key for key in report[kind])
        if keys:
            word = kind.removesuffix("_keys")
            raise BadCheckpoint(
                f"{checkpoint.directory}: {len(keys)} tensors are {word}, the first is {keys[0]}: "
                "config.json and weights are of different models, copy the whole folder again"
            )


def _eos_token_ids(directory: Path, config: PretrainedConfig) -> frozenset[int]:
    """Read the tokens that end an answer, from generation_config.json before config.json."""
    ids = config.eos_token_id
    if (directory / "generation_config.json").is_file():
        generation = GenerationConfig.from_pretrained(directory, local_files_only=True)
        ids = generation.eos_token_id if generation.eos_token_id is not None else ids
    if ids is None:
        return frozenset()
    return frozenset([ids] if isinstance(ids, int) else ids)
