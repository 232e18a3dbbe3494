"""
Decide which tokens each step computes.

There are no phases. A sequence is a list of tokens of which a number is computed, and every step
lets the computed catch up with the known, within a budget of tokens: a long prompt takes several
steps, a sequence that decodes is one token behind, and both share a step.

Order and memory:

- First come, first served, running or waiting. A sequence that is not computed up to its last token
  takes all that is left of the budget, so nobody behind it enters: at most the youngest running
  sequence is inside its prompt, the others decode, one token each. The budget is larger than the
  number of sequences, so it always leaves something for the prompt.
- A new request enters when the blocks for all its known tokens are free. Blocks for the answer are
  taken as it grows. When they run out, the youngest running sequence gives way: its blocks are
  freed and it waits, to be computed again from its tokens.
- So every waiting request is younger than every running one, and the oldest can always go on:
  each request ends.

      waiting ──admit──> running ──finish or cancel──> gone
         ^                  │
         └─────preempt──────┘

Invariant: the blocks in use are those of the running sequences, and whoever is gone holds none.
Must not import torch, asyncio, threading, time or anything of HTTP.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from model_server.batch import Batch, BatchItem
from model_server.kv import BlockPool, BlockTable, most_blocks
from model_server.request import FinishReason, Request, RequestTooLong, TokenOutput, require


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerLimits:
    """Bound what a step and the cache may hold."""

    max_sequences: int  # that hold blocks at the same time
    max_batch_tokens: int  # per step
    max_model_len: int  # prompt and answer of one sequence, tokens
    block_size: int
    block_count: int
    sliding_window: int | None
    eos_token_ids: frozenset[int]

    def __post_init__(self) -> None:
        """Refuse limits under which a sequence could starve."""
        for name in ("max_sequences", "max_model_len", "block_size", "block_count"):
            require(name, getattr(self, name), getattr(self, name) >= 1, "must be at least 1")
        require(
            "max_batch_tokens",
            self.max_batch_tokens,
            self.max_batch_tokens > self.max_sequences,
            f"must be above max_sequences ({self.max_sequences}), or prompts starve",
        )
        if self.sliding_window is not None:
            require("sliding_window", self.sliding_window, self.sliding_window >= 1, "must be >= 1")

    def blocks_at_most(self, tokens: int) -> int:
        """Bound the blocks that a sequence of this length holds at any one time."""
        return most_blocks(
            tokens,
            step_tokens=self.max_batch_tokens,
            block_size=self.block_size,
            window=self.sliding_window,
        )

    @property
    def longest(self) -> int:
        """Longest sequence, in tokens, that the context allows and the blocks can hold."""
        if self.blocks_at_most(self.max_model_len) <= self.block_count:
            return self.max_model_len
        return self.block_count * self.block_size


@dataclass(slots=True, kw_only=True, eq=False)
class RunningSequence:
    """Follow one request: what is known, what is computed, where it lies."""

    request: Request
    tokens: list[int]  # the prompt, then the answer so far
    table: BlockTable
    computed: int = 0

    @property
    def pending(self) -> int:
        """Known tokens that are not computed yet: 1 while it decodes."""
        return len(self.tokens) - self.computed


class Scheduler:
    """Keep the requests, write the batches, take the tokens in."""

    def __init__(self, limits: SchedulerLimits) -> None:
        """Start with nothing to do and every block free."""
        self.limits = limits
        self.pool = BlockPool(limits.block_count)
        self.preemptions = 0
        self._waiting: deque[RunningSequence] = deque()
        self._running: list[RunningSequence] = []  # by arrival

    @property
    def running(self) -> int:
        """Number of sequences that hold blocks or may."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Number of requests that wait, preempted ones included."""
        return len(self._waiting)

    def add(self, request: Request) -> None:
        """
        Let a request wait for its turn.

        Raises:
            RequestTooLong: If it could never be finished, whatever else runs.
        """
        check_length(request, self.limits)
        table = BlockTable(
            self.pool,
            block_size=self.limits.block_size,
            sliding_window=self.limits.sliding_window,
        )
        tokens = list(request.prompt_ids)
        self._waiting.append(RunningSequence(request=request, tokens=tokens, table=table))

    def cancel(self, request_id: str) -> None:
        """Forget a request and free its blocks at once; an unknown one is gone already."""
        for sequence in (*self._running, *self._waiting):
            if sequence.request.request_id == request_id:
                self._remove(sequence)

    def schedule(self) -> Batch | None:
        """Write the next batch; None if nothing runs or waits."""
        items: list[BatchItem] = []
        budget = self.limits.max_batch_tokens
        for sequence in list(self._running):
            count = min(sequence.pending, budget)
            if sequence in self._running and self._make_room(sequence, count):
                items.append(_item(sequence, count))
                budget -= count
        while budget and (admitted := self._admit(budget)):
            items.append(_item(admitted, count := min(admitted.pending, budget)))
            budget -= count
        return Batch(items=tuple(items)) if items else None

    def update(self, batch: Batch, token_ids: Sequence[int]) -> list[TokenOutput]:
        """
        Take in the tokens that a step sampled, one for each of `batch.sampled`.

        Raises:
            ValueError: If there are more or fewer of them.
        """
        sampled = dict(
            zip((item.request_id for item in batch.sampled), token_ids, strict=True),
        )
        outputs = []
        for sequence, item in self._of(batch):
            sequence.computed = item.end
            if item.samples:
                outputs.append(self._append(sequence, sampled[item.request_id]))
        return outputs

    def fail(self, batch: Batch, error: str) -> list[TokenOutput]:
        """End the requests of a batch whose step failed."""
        outputs = []
        for sequence, item in self._of(batch):
            self._remove(sequence)
            outputs.append(
                TokenOutput(
                    request_id=item.request_id, finish_reason=FinishReason.ERROR, error=error
                )
            )
        return outputs

    def _make_room(self, sequence: RunningSequence, count: int) -> bool:
        """Preempt younger sequences until this one's tokens of the step have blocks."""
        while not sequence.table.cover(sequence.computed, sequence.computed + count):
            youngest = self._running[-1]
            if youngest is sequence:
                return False  # it keeps what it has and waits for an older one to end
            self._running.pop()
            youngest.table.free()
            youngest.computed = 0
            self._waiting.appendleft(youngest)
            self.preemptions += 1
        return True

    def _admit(self, budget: int) -> RunningSequence | None:
        """
        Let the first of those that wait run, if it may.

        Who has just been preempted needs more than its blocks left free, so it does not come back
        in the same step, and nobody overtakes it.
        """
        if not self._waiting or len(self._running) >= self.limits.max_sequences:
            return None
        sequence = self._waiting[0]
        if self.limits.blocks_at_most(len(sequence.tokens)) > self.pool.free:
            return None
        sequence.table.cover(0, min(sequence.pending, budget))
        self._running.append(self._waiting.popleft())
        return sequence

    def _of(self, batch: Batch) -> list[tuple[RunningSequence, BatchItem]]:
        """Pair the items of a batch with their sequences, less those that are gone since."""
        by_id = {sequence.request.request_id: sequence for sequence in self._running}
        return [(by_id[item.request_id], item) for item in batch.items if item.request_id in by_id]

    def _append(self, sequence: RunningSequence, token_id: int) -> TokenOutput:
        sequence.tokens.append(token_id)
        reason = _finish_reason(sequence, token_id, self.limits.eos_token_ids)
        if reason is not None:
            self._remove(sequence)
        return TokenOutput(
            request_id=sequence.request.request_id, token_ids=(token_id,), finish_reason=reason
        )

    def _remove(self, sequence: RunningSequence) -> None:
        sequence.table.free()
        if sequence in self._running:
            self._running.remove(sequence)
        else:
            self._waiting.remove(sequence)


def check_length(request: Request, limits: SchedulerLimits) -> None:
    """
    Check the whole of a request, prompt and longest answer, against the limits.

    Raises:
        RequestTooLong: If it could never be finished, whatever else runs.
    """
    if request.longest > limits.longest:
        raise RequestTooLong(limit=limits.longest, got=request.longest)


def _finish_reason(
    sequence: RunningSequence, token_id: int, eos_token_ids: frozenset[int]
) -> FinishReason | None:
    sampling = sequence.request.sampling
    ended = token_id in eos_token_ids and not sampling.ignore_eos
    if ended or token_id in sampling.stop_token_ids:
        return FinishReason.STOP
    answered = len(sequence.tokens) - len(sequence.request.prompt_ids)
    return FinishReason.LENGTH if answered >= sampling.max_tokens else None


def _item(sequence: RunningSequence, count: int) -> BatchItem:
    start, end = sequence.computed, sequence.computed + count
    return BatchItem(
        request_id=sequence.request.request_id,
        start=start,
        token_ids=tuple(sequence.tokens[start:end]),
        first_block=sequence.table.first,
        block_ids=tuple(sequence.table.blocks),
        samples=end == len(sequence.tokens),
        sampling=sequence.request.sampling,
    )
