"""
Run a scheduler over a runner that checks its own cache.

A position that is lost, or a block that two sequences hold, fails inside `FakeRunner.step`.
"""

from dataclasses import dataclass, field

from model_server.engine.batch import Batch
from model_server.engine.request import FinishReason, Request, SamplingParameters
from model_server.engine.scheduler import Scheduler, SchedulerLimits

from tests.model_server.fake_runner import FakeRunner


def limits(
    *,
    max_sequences: int = 4,
    max_batch_tokens: int = 8,
    max_mixed_tokens: int | None = None,
    block_size: int = 4,
    block_count: int = 32,
    sliding_window: int | None = None,
) -> SchedulerLimits:
    return SchedulerLimits(
        max_sequences=max_sequences,
        max_batch_tokens=max_batch_tokens,
        max_mixed_tokens=max_mixed_tokens,
        max_model_len=64,
        block_size=block_size,
        block_count=block_count,
        sliding_window=sliding_window,
        eos_token_ids=frozenset({999}),
    )


def request(name: str, length: int, max_tokens: int = 4, **more: object) -> Request:
    sampling = SamplingParameters(max_tokens=max_tokens, temperature=0, **more)  # type: ignore[arg-type] # a test's shorthand
    start = 10 * (1 + sum(map(ord, name)) % 50)
    return Request(
        request_id=name, prompt_ids=tuple(range(start, start + length)), sampling=sampling
    )


@dataclass
class World:
    """Run a scheduler on a checking runner and remember what came out."""

    limits: SchedulerLimits
    answers: dict[str, list[int]] = field(default_factory=dict)
    reasons: dict[str, FinishReason] = field(default_factory=dict)
    finished: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(self.limits)
        self.runner = FakeRunner(
            block_size=self.limits.block_size,
            block_count=self.limits.block_count,
            sliding_window=self.limits.sliding_window,
        )

    def step(self) -> Batch | None:
        most = self.limits.max_batch_tokens
        if any(sequence.pending == 1 for sequence in self.scheduler._running):
            most = min(most, self.limits.max_mixed_tokens or most)
        batch = self.scheduler.schedule()
        if batch is not None:
            assert batch.token_count <= most
            for output in self.scheduler.update(batch, self.runner.step(batch)):
                self.answers.setdefault(output.request_id, []).extend(output.token_ids)
                if output.finish_reason is not None:
                    self.reasons[output.request_id] = output.finish_reason
                    self.finished.append(output.request_id)
        return batch

    def run(self) -> list[Batch]:
        batches: list[Batch] = []
        for _ in range(5000):
            batch = self.step()
            if batch is None:
                return batches
            batches.append(batch)
        raise AssertionError("the requests never end")
