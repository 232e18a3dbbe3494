"""
Decide which tokens each step computes.

There are no phases. A sequence is a list of tokens of which a number is computed, and every step
lets the computed catch up with the known, within a budget of tokens: a long prompt takes several
steps, a sequence that decodes is one token behind, and both share a step.

Order and memory:

- First come, first served, running or waiting. A sequence that is not computed up to its last token
  takes all that is left of the budget, so nobody behind it enters: at most the youngest running
  sequence is inside its prompt, the others decode, one token each. The budget is larger than the
  number of sequences, so it always leaves something for the prompt. Where somebody decodes it may
  be smaller (`max_mixed_tokens`): who waits for a next token waits for the whole step.
- A new request enters when the blocks for all its known tokens are free. Blocks for the answer are
  taken as it grows. When they run out, the youngest running sequence gives way: its blocks are
  freed and it waits, to be computed again from its tokens.
- What the cache still holds of its beginning is not computed again. A request whose next block is
  being computed for another one in this very step waits for the next step, once.
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

from model_server.engine.batch import Batch, BatchItem, Drawn, Failed
from model_server.engine.engine_state import AdapterUse
from model_server.engine.kv import BlockPool, most_blocks
from model_server.engine.request import FinishReason, Request, RequestTooLong, TokenOutput, require
from model_server.engine.sequence import RunningSequence


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerLimits:
    """Bound what a step and the cache may hold."""

    max_sequences: int  # that hold blocks at the same time
    max_batch_tokens: int  # per step
    max_mixed_tokens: int | None = None  # per step in which somebody decodes; None: the same
    max_model_len: int  # prompt and answer of one sequence, tokens
    block_size: int
    block_count: int
    sliding_window: int | None
    eos_token_ids: frozenset[int]

    def __post_init__(self) -> None:
        """Refuse limits under which a sequence could starve."""
        for name in ("max_sequences", "max_model_len", "block_size", "block_count"):
            require(name, getattr(self, name), getattr(self, name) >= 1, "must be at least 1")
        for name in ("max_batch_tokens", "max_mixed_tokens"):
            tokens = getattr(self, name)
            leaves_some = tokens is None or tokens > self.max_sequences
            reason = f"must be above max_sequences ({self.max_sequences}), or prompts starve"
            require(name, tokens, leaves_some, reason)
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


class Scheduler:
    """Keep the requests, write the batches, take the tokens in."""

    def __init__(self, limits: SchedulerLimits) -> None:
        """Start with nothing to do and every block free."""
        self.limits = limits
        self.pool = BlockPool(limits.block_count)
        self.preemptions = 0
        self.prefix_tokens_asked = 0  # of requests when they first ran
        self.prefix_tokens_found = 0  # of these, in the cache
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

    def adapters(self) -> AdapterUse:
        """Name the adapters of those that run and of those that wait."""
        return AdapterUse(
            running=frozenset(s.request.adapter for s in self._running) - {""},
            waiting=frozenset(s.request.adapter for s in self._waiting) - {""},
        )

    def add(self, request: Request) -> None:
        """
        Let a request wait for its turn.

        Raises:
            RequestTooLong: If it could never be finished, whatever else runs.
        """
        check_length(request, self.limits)
        self._waiting.append(
            RunningSequence(
                request=request,
                pool=self.pool,
                block_size=self.limits.block_size,
                sliding_window=self.limits.sliding_window,
            )
        )

    def cancel(self, request_id: str) -> None:
        """Forget a request and free its blocks at once; an unknown one is gone already."""
        for sequence in (*self._running, *self._waiting):
            if sequence.request.request_id == request_id:
                self._remove(sequence)

    def schedule(self) -> Batch | None:
        """Write the next batch; None if nothing runs or waits."""
        items: list[BatchItem] = []
        coming: set[bytes] = set()  # keys of the blocks that this step makes full
        budget = self._budget()
        for sequence in self._running:  # who gives way stands behind, and is not reached any more
            count = min(sequence.pending, budget)
            if self._make_room(sequence, count):
                items.append(sequence.item(count))
                if count > 1:
                    coming.update(sequence.full_keys(sequence.computed + count))
                budget -= count
        while budget and (admitted := self._admit(budget, coming)):
            items.append(admitted.item(count := min(admitted.pending, budget)))
            coming.update(admitted.full_keys(admitted.computed + count))
            budget -= count
        return Batch(items=tuple(items)) if items else None

    def update(self, batch: Batch, outcomes: Sequence[Drawn | Failed]) -> list[TokenOutput]:
        """
        Take in what a step made, one outcome for each of `batch.sampled`.

        Raises:
            ValueError: If there are more or fewer of them.
        """
        sampled = dict(
            zip((item.request_id for item in batch.sampled), outcomes, strict=True),
        )
        outputs = []
        for sequence, item in self._of(batch):
            match sampled.get(item.request_id):
                case None:
                    sequence.advance(item.end)
                case Drawn(token_id=token_id, logprobs=logprobs):
                    sequence.advance(item.end)
                    output = sequence.append(token_id, logprobs, self.limits.eos_token_ids)
                    outputs.append(output)
                    if output.finish_reason is not None:
                        self._remove(sequence)
                case Failed(error=error):
                    outputs.append(self._fail(sequence, error))
        return outputs

    def fail(self, batch: Batch, error: str) -> list[TokenOutput]:
        """End the requests of a batch whose step failed."""
        return [self._fail(sequence, error) for sequence, _ in self._of(batch)]

    def fail_largest(self, batch: Batch, error: str) -> list[TokenOutput]:
        """
        End the one request of a batch that asked most of its step, the youngest of equals.

        The others have lost nothing: what is not taken in by `update` is scheduled again.
        """
        pairs = self._of(batch)
        if not pairs:
            return []
        most = max(len(item.token_ids) for _, item in pairs)
        largest = [sequence for sequence, item in pairs if len(item.token_ids) == most]
        return [self._fail(largest[-1], error)]

    def _fail(self, sequence: RunningSequence, error: str) -> TokenOutput:
        sequence.spoil()
        self._remove(sequence)
        return TokenOutput(
            request_id=sequence.request.request_id, finish_reason=FinishReason.ERROR, error=error
        )

    def _budget(self) -> int:
        limits = self.limits
        if limits.max_mixed_tokens is None or all(s.pending > 1 for s in self._running):
            return limits.max_batch_tokens
        return min(limits.max_batch_tokens, limits.max_mixed_tokens)

    def _make_room(self, sequence: RunningSequence, count: int) -> bool:
        """Preempt younger sequences until this one's tokens of the step have blocks."""
        while not sequence.table.cover(sequence.computed, sequence.computed + count):
            youngest = self._running[-1]
            if youngest is sequence:
                return False  # it keeps what it has and waits for an older one to end
            self._running.pop()
            youngest.give_way()
            self._waiting.appendleft(youngest)
            self.preemptions += 1
        return True

    def _admit(self, budget: int, coming: set[bytes]) -> RunningSequence | None:
        """
        Let the first of those that wait run, if it may.

        Who has just been preempted comes back in the same step only where others hold so much of
        its prefix that the rest fits, and nobody overtakes it.
        """
        if not self._waiting or len(self._running) >= self.limits.max_sequences:
            return None
        sequence = self._waiting[0]
        prefix = sequence.cached_prefix()
        held = sum(map(self.pool.is_held, prefix.blocks))
        if self.limits.blocks_at_most(sequence.length) - held > self.pool.free:
            return None
        if not sequence.has_deferred and not coming.isdisjoint(
            sequence.usable_keys()[prefix.end : prefix.end + 1]
        ):
            sequence.has_deferred = True
            return None
        if not sequence.has_run:
            self.prefix_tokens_asked += sequence.length
            self.prefix_tokens_found += prefix.end * self.limits.block_size
        sequence.begin_with(prefix)
        sequence.table.cover(sequence.computed, sequence.computed + min(sequence.pending, budget))
        self._running.append(self._waiting.popleft())
        return sequence

    def _of(self, batch: Batch) -> list[tuple[RunningSequence, BatchItem]]:
        """Pair the items of a batch with their sequences, less those that are gone since."""
        by_id = {sequence.request.request_id: sequence for sequence in self._running}
        return [(by_id[item.request_id], item) for item in batch.items if item.request_id in by_id]

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
