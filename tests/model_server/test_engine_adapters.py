"""The engine knows its adapters by name, keeps their caches apart and says which are at work."""

import pytest
from model_server.engine.engine import Engine
from model_server.engine.engine_state import AdapterUse, EngineLimits
from model_server.engine.request import InvalidRequest, Request, SamplingParameters
from model_server.engine.scheduler import Scheduler

from tests.model_server.fake_runner import FakeRunner
from tests.model_server.scheduler_world import limits

PROMPT = tuple(range(1, 14))


def asked(name: str, adapter: str) -> Request:
    sampling = SamplingParameters(max_tokens=3, temperature=0, seed=0)
    return Request(request_id=name, prompt_ids=PROMPT, sampling=sampling, adapter=adapter)


async def test_an_adapter_that_is_not_loaded_is_refused_before_it_is_queued() -> None:
    runner = FakeRunner()
    runner.adapters = frozenset({"style"})
    engine = Engine(runner, EngineLimits())
    engine.start()
    try:
        with pytest.raises(InvalidRequest, match=r"one of \['style'\]"):
            engine.generate(asked("a", "other"))
        outputs = [output async for output in engine.generate(asked("a", "style"))]
        assert sum(len(output.token_ids) for output in outputs) == 3
    finally:
        await engine.stop(0)
    assert {item.adapter for batch in runner.batches for item in batch.items} == {"style"}


def test_who_runs_and_who_waits_is_told_by_adapter() -> None:
    scheduler = Scheduler(limits(max_sequences=2))
    for name, adapter in (("1", "a"), ("2", ""), ("3", "b"), ("4", "a")):
        scheduler.add(asked(name, adapter))
    scheduler.schedule()
    use = AdapterUse(running=frozenset({"a"}), waiting=frozenset({"a", "b"}))
    assert scheduler.adapters() == use


def test_a_runner_that_keeps_what_each_adapter_computed_finds_no_mixture() -> None:
    """The fake runner's cache depends on the adapter; it fails a step that reads another's."""
    scheduler, runner = Scheduler(limits()), FakeRunner()
    for round_number in range(2):
        for adapter in ("", "a", "b"):
            scheduler.add(asked(f"{adapter}{round_number}", adapter))
        while (batch := scheduler.schedule()) is not None:
            scheduler.update(batch, runner.step(batch))
        assert bool(scheduler.prefix_tokens_found) == bool(round_number)
