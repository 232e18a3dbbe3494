"""
Compute steps with transformers' modules and a cache of our own.

A batch of plain integers becomes one packed row of tokens and the few index tensors that attention
reads (step_inputs.py); a forward (forward.py) gives the logits of the tokens that are sampled, and
nothing is kept but keys and values. All of the cache is allocated at the start: a step allocates
only what it computes on the way.

The same code runs on a CPU and on CUDA.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model_server.compute.adjust import Draw
from model_server.compute.decode_graphs import DecodeGraphs, GraphDiffers
from model_server.compute.device_faults import device_faults
from model_server.compute.forward import Path, choose_path
from model_server.compute.layer_cache import Gathered, LayerCache
from model_server.compute.lora import segments_of
from model_server.compute.model import LoadedModel
from model_server.compute.processors import spread_threads
from model_server.compute.sampling import sample
from model_server.compute.step_inputs import Cells, step_inputs
from model_server.engine.batch import Batch, BatchItem, Drawn, Failed
from model_server.engine.kv import blocks_for
from model_server.engine.request import require
from model_server.engine.seats import NOBODY, Seated, Seats
from model_server.settings import FAST_PATHS

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSize:
    """Say how the cache is cut: into blocks, and on a CPU into rows for who decodes."""

    block_size: int
    block_count: int
    near_rows: int = 0
    near_cells: int = 0  # of each row


class NativeRunner:
    """Follow the Runner protocol with a model of transformers."""

    def __init__(
        self,
        model: LoadedModel,
        cache: CacheSize,
        *,
        max_model_len: int,
        path: Path | None = None,
        graph_rows: int = 0,
    ) -> None:
        """
        Allocate the cache, take the model over and record its graphs.

        Args:
            model: What computes.
            cache: How its cache is cut.
            max_model_len: Longest prompt and answer together, in tokens.
            path: How it computes; None for the best that works.
            graph_rows: Sequences that may decode together in a graph, where the path has graphs.

        Raises:
            InvalidRequest: If max_model_len passes the model's context.
        """
        check_context(model, max_model_len)
        self._model = model
        self._cache = cache
        self._max_model_len = max_model_len
        self._path = path or choose_path(model, FAST_PATHS)
        has_graphs = self._path.make_graph is not None and graph_rows > 0
        self._cells = Cells(
            # One block more than anybody is told of: for the rows of a graph that nobody uses.
            layers=_allocate(model, cache, cache.block_count + has_graphs),
            block_size=cache.block_size,
            window=model.sliding_window,
            masked=self._path.masked,
            near=cache.near_cells,
        )
        self._seats = Seats(
            rows=cache.near_rows if model.device.type == "cpu" else 0,
            cells=cache.near_cells,
            window=model.sliding_window,
        )
        self._graphs = self._record(graph_rows) if has_graphs else None
        self._spreads_threads = model.device.type == "cpu"

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
        if self._spreads_threads:  # the first step: every step runs in this thread
            self._spreads_threads = False
            spread_threads(_start_threads, torch.get_num_threads())
        with device_faults(), torch.inference_mode():
            return self._step(batch)

    def _step(self, batch: Batch) -> list[Drawn | Failed]:
        seated = self._seats.seat(batch.items)
        items = list(seated.items)
        if len(items) < len(batch.items):
            names = {item.request_id for item in items}
            others = (item for item in batch.items if item.request_id not in names)
            items += sorted(others, key=_place)
        if self._model.adapters:
            runs = [(item.adapter, len(item.token_ids)) for item in items]
            self._model.adapters.choose(segments_of(runs))
        logits = self.logits(items, seated)  # (sampled, V)
        self._seats.keep(seated)
        sampled = [item for item in items if item.samples]
        draws = [Draw(sampling=item.sampling, history=item.history) for item in sampled]
        drawn = {
            item.request_id: outcome
            for item, outcome in zip(sampled, sample(logits, draws), strict=True)
        }
        return [drawn[item.request_id] for item in batch.sampled]

    @property
    def has_graphs(self) -> bool:
        """Whether steps that only decode are replayed."""
        return self._graphs is not None

    def logits(self, items: Sequence[BatchItem], seated: Seated = NOBODY) -> Tensor:
        """Compute the logits of the items that sample, (K, V); those that decode come first."""
        adapted = self._model.adapters is not None and self._model.adapters.are_chosen
        if self._graphs is not None and not adapted and self._graphs.fits(items):
            logits = self._graphs.run(items)
            sampled = [row for row, item in enumerate(items) if item.samples]
            return logits if len(sampled) == len(items) else logits[sampled]
        inputs = step_inputs(
            items, self._cells, self._model.device, self._model.output_device, seated
        )
        return self._path.forward(inputs.tokens, inputs.positions, inputs.context, inputs.keep)

    def _record(self, rows: int) -> DecodeGraphs | None:
        make_graph = self._path.make_graph
        if make_graph is None:
            return None
        graphs = DecodeGraphs(
            self._path.forward,
            self._cells,
            most_rows=rows,
            most_blocks=blocks_for(self._max_model_len, self.block_size),
            spare_block=self.block_count,
            device=self._model.device,
        )
        try:
            with torch.inference_mode():
                graphs.capture(make_graph)
        except (GraphDiffers, RuntimeError) as error:
            # RuntimeError is what torch makes of whatever the driver said.
            logger.warning("graphs_are_off", extra={"error": str(error).partition("\n")[0]})
            return None
        return graphs


def _start_threads() -> None:
    """Compute what is worth more than one thread to torch (from 32,768 numbers)."""
    torch.ones(1 << 20).add_(1)


def _place(item: BatchItem) -> tuple[bool, str, int]:
    """Sort tokens that decode first, then by adapter, and beside those of like length."""
    return len(item.token_ids) > 1, item.adapter, len(item.block_ids)


def check_context(model: LoadedModel, max_model_len: int) -> None:
    """
    Refuse a length that the model does not have.

    Raises:
        InvalidRequest: If it passes the model's context.
    """
    fits = 1 <= max_model_len <= model.context_length
    limit = f"must be 1 to {model.context_length}, the model's context"
    require("max_model_len", max_model_len, fits, limit)


def _allocate(model: LoadedModel, cache: CacheSize, block_count: int) -> list[LayerCache]:
    """Make the cache of each layer where its weights are."""
    shape = (block_count, cache.block_size, *model.kv_shape)
    gathered = Gathered()
    near = (cache.near_rows, cache.near_cells)
    return [
        LayerCache.make(shape, dtype=model.dtype, device=device, gathered=gathered, near=near)
        for device in model.layer_devices
    ]
