"""Drive a runner by the scheduler in one thread and time the steps that only decode."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from model_server.compute.runner import NativeRunner
from model_server.engine.request import FinishReason, Request, SamplingParameters
from model_server.engine.scheduler import Scheduler, SchedulerLimits

FIRST_TOKEN = 3  # ids below are control tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Hold what was seen of one batch of requests."""

    decode_seconds: tuple[float, ...]  # of each step in which every sequence decoded
    prefill_seconds: float  # of all steps before
    answers: int  # that came to their wanted length

    def per_step(self) -> float:
        """Say the median of a decoding step, without the first ones."""
        kept = sorted(self.decode_seconds[len(self.decode_seconds) // 8 :])
        return kept[len(kept) // 2]


def random_prompt(length: int, vocabulary: int, seed: int) -> tuple[int, ...]:
    """Draw token ids."""
    draws = random.Random(seed)  # noqa: S311 - no secret
    return tuple(draws.randrange(FIRST_TOKEN, vocabulary) for _ in range(length))


def run_together(
    runner: NativeRunner, prompts: Sequence[tuple[int, ...]], new_tokens: int, budget: int
) -> Timed:
    """Continue all prompts greedily, in steps of at most `budget` tokens."""
    scheduler = Scheduler(
        SchedulerLimits(
            max_sequences=len(prompts),
            max_batch_tokens=budget,
            max_model_len=runner.max_model_len,
            block_size=runner.block_size,
            block_count=runner.block_count,
            sliding_window=runner.sliding_window,
            eos_token_ids=frozenset(),
        )
    )
    sampling = SamplingParameters(max_tokens=new_tokens, temperature=0, seed=0)
    for number, prompt in enumerate(prompts):
        scheduler.add(Request(request_id=str(number), prompt_ids=prompt, sampling=sampling))
    decoding, prefill, whole = [], 0.0, 0
    while True:
        began = time.perf_counter()
        batch = scheduler.schedule()
        if batch is None:
            break
        outcomes = runner.step(batch)  # answers plain numbers, so the device has finished
        outputs = scheduler.update(batch, outcomes)
        whole += sum(output.finish_reason is FinishReason.LENGTH for output in outputs)
        seconds = time.perf_counter() - began
        if batch.token_count == len(batch.items) == len(prompts):
            decoding.append(seconds)
        elif not decoding:
            prefill += seconds
    return Timed(decode_seconds=tuple(decoding), prefill_seconds=prefill, answers=whole)


def copy_bytes_per_second(device: torch.device, size: int = 2**30) -> float:
    """Measure what the memory gives: bytes read and written by a copy, median of ten."""
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(12):
        wait(device)
        began = time.perf_counter()
        target.copy_(source)
        wait(device)
        seconds.append(time.perf_counter() - began)
    return 2 * size / sorted(seconds[2:])[5]


def wait(device: torch.device) -> None:
    """Let the device finish."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
