"""
Say what one step of the model is: the seam between the scheduler and the tensors.

The scheduler writes batches in plain integers, a runner turns them into tensors, computes and
answers plain integers. Neither side sees the other's types, so the scheduler is tested without a
model and a model without a scheduler.

Must not import torch, asyncio, threading, time or anything of HTTP.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from model_server.engine.history import History
from model_server.engine.request import SamplingParameters, TokenLogprobs


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchItem:
    """
    Describe the tokens of one sequence that a step computes.

    The keys and values of position p lie in block `block_ids[p // block_size - first_block]`, at
    offset `p % block_size`. Example: block_size 16, first_block 2, block_ids (7, 4): positions
    32..47 lie in block 7 and positions 48..63 in block 4; positions below 32 have left the sliding
    window and are gone.
    """

    request_id: str
    start: int  # position of the first token of this step
    token_ids: tuple[int, ...]
    first_block: int  # logical number of block_ids[0]
    block_ids: tuple[int, ...]
    samples: bool  # whether the last token is the newest known, so that the next one is wanted
    sampling: SamplingParameters
    history: History  # grows after the step
    adapter: str = ""  # name of the adapter to compute with; empty for the base alone

    @property
    def end(self) -> int:
        """Position behind the last token of this step: that of a token sampled in it."""
        return self.start + len(self.token_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """List what one step computes, each sequence at most once, those that decode first."""

    items: tuple[BatchItem, ...]

    @property
    def token_count(self) -> int:
        """Tokens that the step computes."""
        return sum(len(item.token_ids) for item in self.items)

    @property
    def sampled(self) -> tuple[BatchItem, ...]:
        """Items that want a next token, in order."""
        return tuple(item for item in self.items if item.samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Hold the next token of one sequence."""

    token_id: int
    logprobs: TokenLogprobs | None = None  # where its sampling asks for them


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Say in one sentence why a sequence gets no next token; the others of its batch do."""

    error: str


class RunnerLost(Exception):
    """Report that a runner will never compute again, as after a CUDA fault."""


class OutOfMemory(Exception):
    """Report that a step did not fit into memory; a smaller one may."""


class Runner(Protocol):
    """
    Compute steps; own the weights and the memory of the blocks.

    Used by one thread only. What `step` has read of a batch may be gone after it: blocks are
    reused as soon as the scheduler says so.
    """

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, all below it."""

    @property
    def max_model_len(self) -> int:
        """Longest prompt and answer together, in tokens."""

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """Tokens that end an answer."""

    @property
    def adapters(self) -> frozenset[str]:
        """Names of the adapters that items may ask for."""

    @property
    def sliding_window(self) -> int | None:
        """Number of newest positions that a token attends to, itself included; None for all."""

    @property
    def block_size(self) -> int:
        """Positions per block."""

    @property
    def block_count(self) -> int:
        """Blocks that there are, numbered from 0."""

    def step(self, batch: Batch) -> Sequence[Drawn | Failed]:
        """
        Compute the batch and answer the next token of each of `batch.sampled`.

        Raises:
            RunnerLost: If no later step can succeed either: the engine ends.
            OutOfMemory: If a smaller step may succeed: one request is failed, the rest tried again.
            Exception: Anything else fails the requests of this batch and no other.
        """
