"""
Share a fixed number of cache blocks among sequences.

A block holds the keys and values of `block_size` neighbouring positions of one sequence. The pool
hands blocks out by number and counts who holds them; a block is free exactly when nobody does.
A block may be held by several sequences (`share`): it then must not be written any more, which is
so by construction once all its positions are computed.

A full block can be remembered under a key that names its content (prefix.py). When its last holder
lets go, it is free and keeps its content, until the pool hands it out again: blocks without a key
first, then the one that has been free longest.

A table is the run of blocks that one sequence holds. Under a sliding window it lets go of blocks
behind the window, so that a sequence never holds more than the window and the tokens of one step,
however long it grows. Block numbers are not reused in place: a ring that overwrote its oldest
block could not share it.

Must not import torch, asyncio, threading, time or anything of HTTP.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence


class BlockPool:
    """Hand out block numbers and take them back."""

    def __init__(self, block_count: int) -> None:
        """Start with every block free and without content."""
        self._holders = [0] * block_count
        self._free = OrderedDict.fromkeys(range(block_count))  # the first is handed out next
        self._key_of: dict[int, bytes] = {}
        self._block_of: dict[bytes, int] = {}

    @property
    def total(self) -> int:
        """Number of blocks, free or held."""
        return len(self._holders)

    @property
    def free(self) -> int:
        """Number of blocks that nobody holds."""
        return len(self._free)

    @property
    def used(self) -> int:
        """Number of blocks that somebody holds."""
        return self.total - self.free

    def is_held(self, block: int) -> bool:
        """Tell whether somebody holds this block."""
        return self._holders[block] > 0

    def take(self, count: int) -> list[int] | None:
        """Hand out that many blocks with one holder each, or none at all if too few are free."""
        if count > len(self._free):
            return None
        blocks = [self._free.popitem(last=False)[0] for _ in range(count)]
        self.forget(blocks)
        for block in blocks:
            self._holders[block] = 1
        return blocks

    def share(self, blocks: Iterable[int]) -> None:
        """
        Add a holder to each of these blocks.

        Raises:
            ValueError: If one of them is free and without a key: its content is not anybody's.
        """
        for block in blocks:
            if not self._holders[block]:
                if block not in self._key_of:
                    raise ValueError(f"block {block} is free, it cannot be shared")
                del self._free[block]
            self._holders[block] += 1

    def give_back(self, blocks: Iterable[int]) -> None:
        """
        Take one holder away from each of these blocks.

        Raises:
            ValueError: If one of them has no holder: it was given back twice.
        """
        for block in blocks:
            if not self._holders[block]:
                raise ValueError(f"block {block} is free, it cannot be given back")
            self._holders[block] -= 1
            if not self._holders[block]:
                self._free[block] = None
                self._free.move_to_end(block, last=block in self._key_of)

    def remember(self, block: int, key: bytes) -> None:
        """
        Let a full block be found by its key; a second block of the same content is not.

        Raises:
            ValueError: If nobody holds it: it may have been handed out for something else.
        """
        if not self._holders[block]:
            raise ValueError(f"block {block} is free, it cannot be remembered")
        if key not in self._block_of and block not in self._key_of:
            self._block_of[key] = block
            self._key_of[block] = key

    def find(self, key: bytes) -> int | None:
        """Return the block of this content, held or free; None if there is none (any more)."""
        return self._block_of.get(key)

    def forget(self, blocks: Iterable[int]) -> None:
        """Let nobody find these blocks any more; who holds them keeps them."""
        for block in blocks:
            key = self._key_of.pop(block, None)
            if key is not None:
                del self._block_of[key]


class BlockTable:
    """Hold the blocks of one sequence: logical block `first + i` lies in `blocks[i]`."""

    def __init__(self, pool: BlockPool, *, block_size: int, sliding_window: int | None) -> None:
        """Start without blocks."""
        self._pool = pool
        self._block_size = block_size
        self._sliding_window = sliding_window
        self.first = 0
        self.blocks: list[int] = []

    def cover(self, start: int, end: int) -> bool:
        """
        Hold what computing the positions from `start` up to, not including, `end` reads and writes.

        Lets go of what the window has passed, then takes what is missing. Answers False, with
        nothing taken, where the pool has too few blocks.
        """
        needed = first_needed(start, self._sliding_window) // self._block_size
        if needed > self.first:
            self._let_go_before(needed)
        missing = blocks_for(end, self._block_size) - self.first - len(self.blocks)
        if missing <= 0:
            return True  # nearly every step of who decodes
        taken = self._pool.take(missing)
        if taken is None:
            return False
        self.blocks += taken
        return True

    def adopt(self, first: int, blocks: Sequence[int]) -> None:
        """
        Begin with blocks that have been computed already, from logical block `first` on.

        Raises:
            ValueError: If this table holds blocks, or the pool refuses.
        """
        if self.blocks:
            raise ValueError("a table that holds blocks cannot begin with others")
        self._pool.share(blocks)
        self.first, self.blocks = first, list(blocks)

    def free(self) -> None:
        """Give everything back, the newest first to be reused; a second time does nothing."""
        self._pool.give_back(reversed(self.blocks))
        self.blocks = []
        self.first = 0

    def _let_go_before(self, logical: int) -> None:
        passed = min(logical - self.first, len(self.blocks))
        self._pool.give_back(self.blocks[:passed])
        del self.blocks[:passed]
        self.first += passed


def blocks_for(tokens: int, block_size: int) -> int:
    """Count the blocks that hold this many tokens from position 0."""
    return -(-tokens // block_size)


def first_needed(position: int, sliding_window: int | None) -> int:
    """Find the oldest position that a token at this position attends to."""
    return 0 if sliding_window is None else max(0, position - sliding_window + 1)


def most_blocks(tokens: int, *, step_tokens: int, block_size: int, window: int | None) -> int:
    """
    Bound the blocks that a sequence of this length holds at any one time.

    Under a window a step holds at most `window - 1` old positions and `step_tokens` new ones, and
    one block more where they straddle a border. Mistral 7B v0.1 with blocks of 64 and steps of 512
    tokens: ceil((4095 + 512) / 64) + 1 = 73 blocks, for 5,000 tokens as for 32,000.
    """
    whole = blocks_for(tokens, block_size)
    if window is None:
        return whole
    return min(whole, blocks_for(window - 1 + step_tokens, block_size) + 1)
