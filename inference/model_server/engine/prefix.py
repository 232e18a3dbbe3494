"""
Name the content of a cache block by the tokens that led to it.

Keys and values of a position depend on every token up to it, so a block may stand for another one
exactly when all tokens from the first of the sequence to its own last are the same. Its key is a
hash over the key of the block before it and its own tokens; the first block hangs on a salt and on
the adapter that computed it, since another adapter makes other keys and values of the same tokens.

    adapter, salt ──> key 0 (tokens 0..63) ──> key 1 (64..127) ──> key 2 ...

BLAKE2b with 256 bits: two prompts with the same key would be a collision of the hash, which nobody
can make, so that no one is ever answered from another's cache by design of a prompt. Callers with
different salts share nothing, and so cannot learn from the time to the first token what the others
have asked.

Must not import torch, asyncio, threading, time or anything of HTTP.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from model_server.engine.kv import first_needed

KEY_BYTES = 32


class PrefixKeys:
    """Work out the keys of one sequence's blocks, each once."""

    def __init__(self, *, salt: str, block_size: int, adapter: str = "") -> None:
        """Start with adapter and salt alone."""
        self._block_size = block_size
        # The adapter as a hash of fixed length: no salt can be read as an adapter and a salt.
        whose = blake2b(adapter.encode(), digest_size=KEY_BYTES).digest()
        self._root = blake2b(whose + salt.encode(), digest_size=KEY_BYTES).digest()
        self._keys: list[bytes] = []

    def of(self, tokens: Sequence[int], count: int) -> list[bytes]:
        """Return the keys of the first `count` blocks of a sequence that has only grown."""
        size = self._block_size
        while len(self._keys) < count:
            begin = len(self._keys) * size
            before = self._keys[-1] if self._keys else self._root
            own = array("q", tokens[begin : begin + size]).tobytes()
            self._keys.append(blake2b(before + own, digest_size=KEY_BYTES).digest())
        return self._keys[:count]


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedPrefix:
    """Say which blocks a sequence may begin with: logical block `first + i` is `blocks[i]`."""

    first: int = 0
    blocks: tuple[int, ...] = ()

    @property
    def end(self) -> int:
        """Logical block behind the prefix: the first that has to be computed."""
        return self.first + len(self.blocks)


def longest_cached(
    keys: Sequence[bytes],
    find: Callable[[bytes], int | None],
    *,
    block_size: int,
    sliding_window: int | None,
) -> CachedPrefix:
    """
    Find the longest prefix that need not be computed.

    Under a sliding window the blocks behind the window need not be there: what comes next does not
    read them. Example: window 8, blocks of 4, of five blocks the first two are gone: the prefix
    of five blocks is as good as whole, since position 20 reads 13 to 20, which are blocks 3 to 5.
    """
    found = [find(key) for key in keys]
    run, best = 0, 0
    for count, block in enumerate(found, start=1):
        run = 0 if block is None else run + 1
        if run >= count - first_needed(count * block_size, sliding_window) // block_size:
            best = count
    first = first_needed(best * block_size, sliding_window) // block_size if best else 0
    return CachedPrefix(
        first=first, blocks=tuple(block for block in found[first:best] if block is not None)
    )
