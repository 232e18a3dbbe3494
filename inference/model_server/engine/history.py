"""
Keep the tokens of one sequence: the prompt, then the answer so far.

The scheduler appends, the sampler reads: penalties count what was generated, and a grammar follows
it. A sequence that is preempted keeps its history, so nothing of this is ever worked out twice.

Must not import torch, asyncio, threading, time or anything of HTTP.
"""

from collections.abc import Sequence
from functools import cached_property

from model_server.engine.request import Constraint


class History:
    """Hold what is known of one sequence."""

    def __init__(self, prompt_ids: Sequence[int], constraint: Constraint | None = None) -> None:
        """Start with the prompt; a constraint follows the answer from here on."""
        self.tokens = list(prompt_ids)
        self.prompt_length = len(self.tokens)
        self.constraint = constraint
        self.counts: dict[int, int] = {}  # how often each token was generated

    @property
    def answer_length(self) -> int:
        """Tokens generated so far."""
        return len(self.tokens) - self.prompt_length

    @cached_property
    def prompt_tokens(self) -> frozenset[int]:
        """The different tokens of the prompt."""
        return frozenset(self.tokens[: self.prompt_length])

    def append(self, token_id: int) -> None:
        """Add a token that was generated."""
        self.tokens.append(token_id)
        self.counts[token_id] = self.counts.get(token_id, 0) + 1
        if self.constraint is not None:
            self.constraint.advance(token_id)
