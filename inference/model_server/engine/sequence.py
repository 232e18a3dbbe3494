"""
Follow one request through the scheduler: what is known, what is computed, where it lies.

A sequence finds the blocks that others have left of its beginning, and leaves its own full blocks
to be found. The last known token is never taken from the cache: its logits are what is wanted.

Must not import torch, asyncio, threading, time or anything of HTTP.
"""

from dataclasses import dataclass, field

from model_server.engine.batch import BatchItem
from model_server.engine.history import History
from model_server.engine.kv import BlockPool, BlockTable
from model_server.engine.prefix import CachedPrefix, PrefixKeys, longest_cached
from model_server.engine.request import FinishReason, Request, TokenLogprobs, TokenOutput


@dataclass(slots=True, kw_only=True, eq=False)
class RunningSequence:
    """Hold the state of one request."""

    request: Request
    pool: BlockPool
    block_size: int
    sliding_window: int | None
    computed: int = 0  # tokens whose keys and values lie in the table
    cached_tokens: int = 0  # of the prompt, at the first admission
    has_deferred: bool = False  # it has waited once for another to compute its prefix
    has_run: bool = False
    history: History = field(init=False)
    table: BlockTable = field(init=False)
    _keys: PrefixKeys = field(init=False)

    def __post_init__(self) -> None:
        """Start with the prompt and no blocks."""
        self.history = History(self.request.prompt_ids, self.request.constraint)
        self.table = BlockTable(
            self.pool, block_size=self.block_size, sliding_window=self.sliding_window
        )
        self._keys = PrefixKeys(
            salt=self.request.cache_salt,
            adapter=self.request.adapter,
            block_size=self.block_size,
        )

    @property
    def length(self) -> int:
        """Known tokens."""
        return len(self.history.tokens)

    @property
    def pending(self) -> int:
        """Known tokens that are not computed yet: 1 while it decodes."""
        return self.length - self.computed

    def usable_keys(self) -> list[bytes]:
        """Return the keys of the blocks that it could take from the cache."""
        return self._keys.of(self.history.tokens, (self.length - 1) // self.block_size)

    def cached_prefix(self) -> CachedPrefix:
        """Find what the pool still holds of its beginning."""
        return longest_cached(
            self.usable_keys(),
            self.pool.find,
            block_size=self.block_size,
            sliding_window=self.sliding_window,
        )

    def begin_with(self, prefix: CachedPrefix) -> None:
        """Take a cached prefix as computed."""
        self.table.adopt(prefix.first, prefix.blocks)
        self.computed = prefix.end * self.block_size
        if not self.has_run:
            self.cached_tokens = self.computed
            self.has_run = True

    def full_keys(self, end: int) -> list[bytes]:
        """Return the keys of the blocks that become full when `end` tokens are computed."""
        return self._keys.of(self.history.tokens, end // self.block_size)[
            self.computed // self.block_size :
        ]

    def advance(self, end: int) -> None:
        """Count tokens as computed, and let the blocks that are full by now be found."""
        if end // self.block_size > self.computed // self.block_size:
            first = self.computed // self.block_size - self.table.first
            for block, key in zip(self.table.blocks[first:], self.full_keys(end), strict=False):
                self.pool.remember(block, key)
        self.computed = end

    def give_way(self) -> None:
        """Let go of all blocks, to be computed again."""
        self.table.free()
        self.computed = 0

    def spoil(self) -> None:
        """
        Let nobody find what this sequence has computed: it went wrong.

        Also what the window has passed, and what others have computed of the same tokens.
        """
        keys = self._keys.of(self.history.tokens, self.computed // self.block_size)
        found = (self.pool.find(key) for key in keys)
        self.pool.forget(block for block in found if block is not None)

    def item(self, count: int) -> BatchItem:
        """Describe a step that computes the next `count` tokens."""
        start, end = self.computed, self.computed + count
        return BatchItem(
            request_id=self.request.request_id,
            start=start,
            token_ids=tuple(self.history.tokens[start:end]),
            first_block=self.table.first,
            block_ids=tuple(self.table.blocks),
            samples=end == self.length,
            sampling=self.request.sampling,
            history=self.history,
            adapter=self.request.adapter,
        )

    def append(
        self, token_id: int, logprobs: TokenLogprobs | None, eos_token_ids: frozenset[int]
    ) -> TokenOutput:
        """Add the token that was drawn, and say whether it is the last."""
        self.history.append(token_id)
        is_end = self._is_end(token_id, eos_token_ids)
        return TokenOutput(
            request_id=self.request.request_id,
            token_ids=(token_id,),
            last_is_text=not is_end,
            logprobs=(logprobs,) if logprobs is not None else (),
            cached_tokens=self.cached_tokens if self.history.answer_length == 1 else 0,
            finish_reason=FinishReason.STOP if is_end else self._finish_reason(),
        )

    def _is_end(self, token_id: int, eos_token_ids: frozenset[int]) -> bool:
        sampling = self.request.sampling
        ended = token_id in eos_token_ids and not sampling.ignore_eos
        return ended or token_id in sampling.stop_token_ids

    def _finish_reason(self) -> FinishReason | None:
        constraint = self.request.constraint
        if constraint is not None and constraint.is_complete:
            return FinishReason.STOP
        longest = self.request.sampling.max_tokens
        return FinishReason.LENGTH if self.history.answer_length >= longest else None
