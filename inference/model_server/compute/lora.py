"""
Add LoRA adapters to a loaded model: beside its weights, chosen per row, or merged into them.

A step packs the tokens of all its sequences into one row of tokens, and the runner sorts those of
one adapter beside each other. So each adapter has at most two runs of tokens in a step, and a
linear layer adds `scale * B A x` run by run, with two products of small matrices for each:

    packed row   | - | - | a | b b | a a a a a |     base: 2 tokens, a: 1 and 5, b: 2

Tokens without an adapter are not touched. The deltas hang on the layers as hooks, which only a
model with adapters has; what they do in a step is said by the one object that they share, which
belongs to the model: no module global carries it, so that two runners in one process do not meet.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from safetensors import safe_open
from torch import Tensor, nn

from model_server.compute.adapter_files import AdapterCheckpoint, tensor_names

Counted = Callable[[int], None]  # told the bytes of each tensor when it has been read


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Say which adapter the tokens `begin` to `end` of the row want; an end of None is the last."""

    adapter: str
    begin: int
    end: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """Hold what one adapter does at one layer."""

    down: Tensor  # (in, r), the transpose of peft's A
    up: Tensor  # (r, out), the transpose of peft's B
    scale: float

    def add_to(self, outputs: Tensor, inputs: Tensor) -> None:
        """Change outputs (T, out) in place, by inputs (T, in)."""
        outputs.addmm_(inputs @ self.down, self.up, alpha=self.scale)


class Adapters:
    """Hang adapters on the layers of a model."""

    def __init__(
        self,
        model: nn.Module,
        checkpoints: Sequence[AdapterCheckpoint],
        dtype: torch.dtype,
        counted: Counted,
    ) -> None:
        """Read the tensors to where each layer is, in the type that it computes in."""
        self.names = frozenset(checkpoint.name for checkpoint in checkpoints)
        self._segments: tuple[Segment, ...] = ()
        self._deltas = _by_module(model, checkpoints, dtype, counted)
        for module, deltas in self._deltas.items():
            model.get_submodule(module).register_forward_hook(self._hook(deltas))

    def choose(self, segments: Sequence[Segment]) -> None:
        """Say which tokens of the next row want which adapter."""
        self._segments = tuple(segments)

    @property
    def are_chosen(self) -> bool:
        """Whether any token of the next row wants an adapter."""
        return bool(self._segments)

    def add_to(self, module: str, outputs: Tensor, inputs: Tensor) -> None:
        """Do what the module's hook does, for who computes its product in another: (T, ...)."""
        if module in self._deltas:
            self._add(self._deltas[module], outputs, inputs)

    def _add(self, deltas: Mapping[str, Delta], outputs: Tensor, inputs: Tensor) -> None:
        for segment in self._segments:
            delta = deltas.get(segment.adapter)
            if delta is not None:
                rows = slice(segment.begin, segment.end)
                delta.add_to(outputs[rows], inputs[rows])

    def _hook(
        self, deltas: Mapping[str, Delta]
    ) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def add(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self._add(deltas, output[0], inputs[0][0])  # both (1, T, ...)

        return add


def segments_of(runs: Iterable[tuple[str, int]]) -> list[Segment]:
    """
    Join neighbours of the same adapter, and leave out who wants none.

    Example: ("", 1), ("a", 1), ("a", 4), ("b", 2) are a: 1 to 6 and b: 6 to 8.

    Args:
        runs: The adapter and the number of tokens of each sequence, in the order of the row.
    """
    found: list[Segment] = []
    begin = 0
    for adapter, count in runs:
        end = begin + count
        if adapter and found and (found[-1].adapter, found[-1].end) == (adapter, begin):
            found[-1] = Segment(adapter=adapter, begin=found[-1].begin, end=end)
        elif adapter:
            found.append(Segment(adapter=adapter, begin=begin, end=end))
        begin = end
    return found


def merge(model: nn.Module, checkpoints: Sequence[AdapterCheckpoint], counted: Counted) -> None:
    """Add all adapters to the weights for good, summed in float32 and rounded once."""
    for module, deltas in _by_module(model, checkpoints, torch.float32, counted).items():
        weight = model.get_submodule(module).get_parameter("weight")
        with torch.no_grad():
            merged = weight.float()
            for delta in deltas.values():
                merged = merged + (delta.down @ delta.up).T * delta.scale
            weight.copy_(merged)


def _by_module(
    model: nn.Module,
    checkpoints: Sequence[AdapterCheckpoint],
    dtype: torch.dtype,
    counted: Counted,
) -> dict[str, dict[str, Delta]]:
    deltas: dict[str, dict[str, Delta]] = {}
    for checkpoint in checkpoints:
        for module, delta in _read(model, checkpoint, dtype, counted):
            deltas.setdefault(module, {})[checkpoint.name] = delta
    return deltas


def _read(
    model: nn.Module, checkpoint: AdapterCheckpoint, dtype: torch.dtype, counted: Counted
) -> Iterator[tuple[str, Delta]]:
    with safe_open(checkpoint.weights, framework="pt") as file:
        for module in checkpoint.modules:
            device = model.get_submodule(module).get_parameter("weight").device
            pair = []
            for name in tensor_names(module):
                tensor: Tensor = file.get_tensor(name)
                counted(tensor.nbytes)
                pair.append(tensor.to(device, dtype).T)
            down, up = pair
            yield module, Delta(down=down, up=up, scale=checkpoint.scale_of(module))
