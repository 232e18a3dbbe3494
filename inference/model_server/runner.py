"""
Compute steps with transformers' modules and a cache of our own.

A batch of plain integers becomes one packed row of tokens and the few index tensors that attention
reads; the model's forward gives the logits of the tokens that are sampled, and nothing is kept but
keys and values. All of the cache is allocated at the start: a step allocates only what it computes
on the way.

The same code runs on a CPU and on CUDA.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model_server.adjust import Draw
from model_server.attention import (
    IMPLEMENTATION,
    DecodeRows,
    LayerCache,
    PromptChunk,
    StepContext,
    register,
    visible,
)
from model_server.batch import Batch, BatchItem, Drawn, Failed
from model_server.device_faults import device_faults
from model_server.lora import segments_of
from model_server.model import LoadedModel
from model_server.request import require
from model_server.sampling import sample


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSize:
    """Say how the cache is cut."""

    block_size: int
    block_count: int


class NativeRunner:
    """Follow the Runner protocol with a model of transformers."""

    def __init__(self, model: LoadedModel, cache: CacheSize, *, max_model_len: int) -> None:
        """
        Allocate the cache and take the model over: its attention is ours from here on.

        Raises:
            InvalidRequest: If max_model_len passes the model's context.
        """
        fits = 1 <= max_model_len <= model.context_length
        limit = f"must be 1 to {model.context_length}, the model's context"
        require("max_model_len", max_model_len, fits, limit)
        self._model = model
        self._cache = cache
        self._max_model_len = max_model_len
        register()
        model.module.set_attn_implementation(IMPLEMENTATION)
        self._layers = _allocate(model, cache)

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids."""
        return self._model.vocabulary_size

    @property
    def max_model_len(self) -> int:
        """Longest prompt and answer together, in tokens."""
        return self._max_model_len

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """Tokens that end an answer."""
        return self._model.eos_token_ids

    @property
    def adapters(self) -> frozenset[str]:
        """Names of the adapters beside the weights."""
        return self._model.adapters.names if self._model.adapters else frozenset()

    @property
    def sliding_window(self) -> int | None:
        """Number of newest positions that a token attends to."""
        return self._model.sliding_window

    @property
    def block_size(self) -> int:
        """Positions per block."""
        return self._cache.block_size

    @property
    def block_count(self) -> int:
        """Blocks that there are."""
        return self._cache.block_count

    def step(self, batch: Batch) -> list[Drawn | Failed]:
        """
        Compute the batch and answer the next token of each of `batch.sampled`.

        Raises:
            OutOfMemory: If this step did not fit; a smaller one may.
            RunnerLost: If the device has failed for good.
        """
        with device_faults(), torch.inference_mode():
            return self._step(batch)

    def _step(self, batch: Batch) -> list[Drawn | Failed]:
        # Tokens that decode come first, and those of one adapter beside each other, whatever the
        # order in the batch.
        items = sorted(batch.items, key=lambda item: (len(item.token_ids) > 1, item.adapter))
        if self._model.adapters:
            runs = [(item.adapter, len(item.token_ids)) for item in items]
            self._model.adapters.choose(segments_of(runs))
        device = self._model.device
        positions = _tensor([p for item in items for p in range(item.start, item.end)], device)
        tokens = _tensor([token for item in items for token in item.token_ids], device)
        ends = torch.tensor([len(item.token_ids) for item in items]).cumsum(0) - 1
        last = [end for item, end in zip(items, ends.tolist(), strict=True) if item.samples]
        logits = self._model.module(
            input_ids=tokens[None],
            position_ids=positions[None],
            use_cache=False,
            logits_to_keep=_tensor(last, self._model.output_device),
            step=self._context(items, positions),
        ).logits[0]  # (sampled, V)
        sampled = [item for item in items if item.samples]
        draws = [Draw(sampling=item.sampling, history=item.history) for item in sampled]
        drawn = {
            item.request_id: outcome
            for item, outcome in zip(sampled, sample(logits, draws), strict=True)
        }
        return [drawn[item.request_id] for item in batch.sampled]

    def _context(self, items: Sequence[BatchItem], positions: Tensor) -> StepContext:
        """Turn block numbers into what attention reads; items that decode come first."""
        size = self.block_size
        decoding = [item for item in items if len(item.token_ids) == 1]
        chunks, begin = [], len(decoding)
        for item in items[len(decoding) :]:
            end = begin + len(item.token_ids)
            blocks = _tensor(item.block_ids, positions.device)[None]
            first = positions.new_full((end - begin,), item.first_block * size)
            length = size * len(item.block_ids)
            mask = visible(first, positions[begin:end], length, self.sliding_window)
            chunks.append(PromptChunk(begin=begin, end=end, blocks=blocks, mask=mask))
            begin = end
        return StepContext(
            layers=self._layers,
            slots=_slots(items, positions, size),
            decode=self._decode_rows(decoding, positions[: len(decoding)]),
            chunks=tuple(chunks),
        )

    def _decode_rows(self, items: Sequence[BatchItem], positions: Tensor) -> DecodeRows | None:
        if not items:
            return None
        size = self.block_size
        longest = max(len(item.block_ids) for item in items)
        padded = [(*item.block_ids, *(0,) * (longest - len(item.block_ids))) for item in items]
        first = _tensor([item.first_block * size for item in items], positions.device)
        mask = visible(first, positions, longest * size, self.sliding_window)
        blocks = torch.tensor(padded, device=positions.device)
        return DecodeRows(blocks=blocks, mask=mask[:, None, None])


def _slots(items: Sequence[BatchItem], positions: Tensor, block_size: int) -> Tensor:
    """Find the cell of each token of the row: (T,)."""
    blocks = [
        item.block_ids[position // block_size - item.first_block]
        for item in items
        for position in range(item.start, item.end)
    ]
    return _tensor(blocks, positions.device) * block_size + positions % block_size


def _tensor(values: Sequence[int], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.long, device=device)


def _allocate(model: LoadedModel, cache: CacheSize) -> list[LayerCache]:
    """Make the cache of each layer where its weights are; zeros, so that no cell is NaN."""
    return [
        LayerCache(
            keys=torch.zeros(shape, dtype=model.dtype, device=device),
            values=torch.zeros(shape, dtype=model.dtype, device=device),
        )
        for device in model.layer_devices
        for shape in [(cache.block_count, cache.block_size, *model.kv_shape)]
    ]
