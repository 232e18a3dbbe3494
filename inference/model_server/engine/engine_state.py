"""
Say how much an engine may take on, and show what it has done.

Must not import torch, asyncio, threading, time or anything of HTTP.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """Bound what runs and waits at the same time."""

    max_sequences: int = 32
    max_queued: int = 128
    max_batch_tokens: int = 512
    max_mixed_tokens: int | None = None  # of a step in which somebody decodes; None: the same


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterUse:
    """Name the adapters that requests have asked for."""

    running: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatistics:
    """Show the engine as it was after its latest step; counts only grow."""

    running: int = 0
    waiting: int = 0
    kv_blocks_used: int = 0
    kv_blocks_total: int = 0
    steps: int = 0
    tokens_computed: int = 0  # of prompts and answers, computed again after a preemption included
    tokens_generated: int = 0
    preemptions: int = 0
    prefix_tokens_asked: int = 0  # tokens of prompts that were looked up in the cache
    prefix_tokens_found: int = 0
    adapters: AdapterUse = AdapterUse()
