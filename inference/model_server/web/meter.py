"""
Measure one answer from its acceptance to its end, into the server's metrics.

Must not import torch, transformers, or anything of HTTP.
"""

import time
from collections.abc import Callable

from model_server.api.metrics import Metrics


class AnswerMeter:
    """Follow one answer; call `tokens` at each piece and `end` once."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        prompt_tokens: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Count the prompt, unless it is counted already, and start the clock."""
        self._metrics = metrics
        self._clock = clock
        self._started = clock()
        self._first = self._latest = 0.0  # times of the oldest and the newest token
        self.completion_tokens = 0
        if prompt_tokens is not None:
            metrics.prompt_tokens.inc(prompt_tokens)
            metrics.prompt_sizes.observe(prompt_tokens)

    def tokens(self, count: int) -> None:
        """Record tokens that have just come."""
        if count == 0:
            return
        now = self._clock()
        if self.completion_tokens == 0:
            self._first = now
            self._metrics.first_token_seconds.observe(now - self._started)
        else:
            between = (now - self._latest) / count
            self._metrics.token_seconds.observe(between)
        self._latest = now
        self.completion_tokens += count
        self._metrics.generation_tokens.inc(count)

    def end(self, reason: str) -> None:
        """Record why it ended: `stop`, `length`, `abort` or `error`."""
        self._metrics.finished(reason)
        if self.completion_tokens > 1:
            mean = (self._latest - self._first) / (self.completion_tokens - 1)
            self._metrics.mean_token_seconds.observe(mean)
        self._metrics.answer_sizes.observe(self.completion_tokens)
        self._metrics.answer_seconds.observe(self._clock() - self._started)
