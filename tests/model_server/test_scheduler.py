import pytest
from model_server.engine.batch import Batch
from model_server.engine.request import (
    FinishReason,
    InvalidRequest,
    Request,
    RequestTooLong,
    SamplingParameters,
)
from model_server.engine.scheduler import Scheduler

from tests.model_server.scheduler_world import World, limits, request


def plan_of(batch: Batch | None) -> dict[str, int]:
    assert batch is not None
    return {item.request_id: len(item.token_ids) for item in batch.items}


def test_an_idle_scheduler_has_no_batch() -> None:
    assert Scheduler(limits()).schedule() is None


def test_a_long_prompt_is_computed_in_chunks_and_samples_only_at_its_end() -> None:
    world = World(limits(max_batch_tokens=8))
    world.scheduler.add(request("a", 19, 1))
    batches = world.run()
    assert [(item.start, item.end, item.samples) for b in batches for item in b.items] == [
        (0, 8, False),
        (8, 16, False),
        (16, 19, True),
    ]


def test_who_decodes_goes_on_while_a_long_prompt_is_computed() -> None:
    world = World(limits(max_batch_tokens=8))
    world.scheduler.add(request("short", 2, 10))
    world.step()
    world.scheduler.add(request("long", 20))
    assert plan_of(world.step()) == {"short": 1, "long": 7}
    assert plan_of(world.step()) == {"short": 1, "long": 7}
    assert plan_of(world.step()) == {"short": 1, "long": 6}
    assert plan_of(world.step()) == {"short": 1, "long": 1}


def test_a_prompt_is_cut_finer_only_while_somebody_decodes() -> None:
    world = World(limits(max_batch_tokens=12, max_mixed_tokens=6))
    world.scheduler.add(request("a", 20, 3))
    world.scheduler.add(request("b", 30, 1))
    assert plan_of(world.step()) == {"a": 12}
    assert plan_of(world.step()) == {"a": 8, "b": 4}
    assert plan_of(world.step()) == {"a": 1, "b": 5}
    assert plan_of(world.step()) == {"a": 1, "b": 5}
    assert plan_of(world.step()) == {"b": 12}
    assert plan_of(world.step()) == {"b": 4}


def test_the_smaller_budget_never_passes_the_larger() -> None:
    world = World(limits(max_batch_tokens=6, max_mixed_tokens=50))
    world.scheduler.add(request("a", 2, 9))
    world.step()
    world.scheduler.add(request("b", 20))
    assert plan_of(world.step()) == {"a": 1, "b": 5}


def test_a_new_request_joins_in_what_the_budget_leaves() -> None:
    world = World(limits(max_batch_tokens=8))
    for name, length in (("a", 3), ("b", 4), ("c", 9)):
        world.scheduler.add(request(name, length))
    assert plan_of(world.step()) == {"a": 3, "b": 4, "c": 1}


def test_no_more_sequences_run_than_may() -> None:
    world = World(limits(max_sequences=2))
    for name in "abc":
        world.scheduler.add(request(name, 1))
    assert plan_of(world.step()) == {"a": 1, "b": 1}
    assert (world.scheduler.running, world.scheduler.waiting) == (2, 1)


@pytest.mark.parametrize(
    ("asked", "answer", "reason"),
    [
        (request("a", 3, 4), 4, FinishReason.LENGTH),
        (
            Request(
                request_id="a",
                prompt_ids=(996,),
                sampling=SamplingParameters(max_tokens=9, temperature=0),
            ),
            3,
            FinishReason.STOP,
        ),
        (
            Request(
                request_id="a",
                prompt_ids=(996,),
                sampling=SamplingParameters(max_tokens=9, temperature=0, ignore_eos=True),
            ),
            9,
            FinishReason.LENGTH,
        ),
        (
            Request(
                request_id="a",
                prompt_ids=(5,),
                sampling=SamplingParameters(
                    max_tokens=9, temperature=0, stop_token_ids=frozenset({7}), ignore_eos=True
                ),
            ),
            2,
            FinishReason.STOP,
        ),
    ],
)
def test_answers_end_where_they_should(asked: Request, answer: int, reason: FinishReason) -> None:
    world = World(limits())
    world.scheduler.add(asked)
    world.run()
    assert len(world.answers["a"]) == answer
    assert world.reasons["a"] is reason


def test_a_request_waits_until_its_whole_prompt_has_room() -> None:
    world = World(limits(block_count=6, max_batch_tokens=64))
    world.scheduler.add(request("a", 16, 4))
    world.scheduler.add(request("b", 12, 4))
    world.scheduler.add(request("c", 1, 4))
    assert plan_of(world.step()) == {"a": 16}  # 4 blocks; b needs 3, c may not overtake it
    world.run()
    assert world.finished == ["a", "b", "c"]


def test_a_request_does_not_enter_because_a_part_of_its_prompt_fits() -> None:
    world = World(limits(block_count=6, max_batch_tokens=8))
    world.scheduler.add(request("a", 16, 4))
    world.scheduler.add(request("b", 12, 1))  # 3 blocks, of which 2 are free
    batches = world.run()
    assert [item.request_id for batch in batches for item in batch.items] == ["a"] * 5 + ["b"] * 2
    assert world.scheduler.preemptions == 0


def test_who_gives_way_comes_back_before_those_who_wait() -> None:
    world = World(limits(max_sequences=3, block_count=6, max_batch_tokens=64))
    for name in "abcd":
        world.scheduler.add(request(name, 8, 4))
    assert plan_of(world.step()) == {"a": 8, "b": 8, "c": 8}
    assert plan_of(world.step()) == {"a": 1, "b": 1}  # both need a third block: c gives way
    assert world.scheduler.preemptions == 1
    world.run()
    assert world.finished == ["a", "b", "c", "d"]


def test_the_youngest_gives_way_and_resumes_with_the_same_answer() -> None:
    world = World(limits(block_count=6, max_batch_tokens=64))
    world.scheduler.add(request("a", 8, 12))
    world.scheduler.add(request("b", 8, 12))
    world.run()
    assert world.scheduler.preemptions > 0
    assert world.finished == ["a", "b"]
    for name in "ab":
        last = request(name, 8).prompt_ids[-1]
        assert world.answers[name] == list(range(last + 1, last + 13))


def test_a_cancelled_request_frees_its_blocks_at_once() -> None:
    world = World(limits())
    world.scheduler.add(request("a", 8))
    world.scheduler.add(request("b", 8))
    world.step()
    world.scheduler.cancel("a")
    world.scheduler.cancel("b")  # waits still, or has part of its prompt
    assert world.scheduler.pool.used == 0
    assert world.scheduler.schedule() is None


def test_cancelling_what_is_gone_does_nothing() -> None:
    world = World(limits())
    world.scheduler.add(request("a", 8))
    world.scheduler.cancel("nobody")
    world.run()
    world.scheduler.cancel("a")
    assert world.reasons == {"a": FinishReason.LENGTH}


def test_a_request_cancelled_while_its_step_runs_gets_no_token() -> None:
    world = World(limits())
    world.scheduler.add(request("a", 2))
    world.scheduler.add(request("b", 2))
    batch = world.scheduler.schedule()
    assert batch is not None
    world.scheduler.cancel("a")
    outputs = world.scheduler.update(batch, world.runner.step(batch))
    assert [output.request_id for output in outputs] == ["b"]


def test_a_failed_batch_ends_its_requests_and_frees_their_blocks() -> None:
    world = World(limits(max_sequences=1))
    world.scheduler.add(request("a", 8))
    world.scheduler.add(request("b", 8))
    batch = world.scheduler.schedule()
    assert batch is not None
    (output,) = world.scheduler.fail(batch, "unlucky")
    assert output.request_id == "a"
    assert (output.finish_reason, output.error) == (FinishReason.ERROR, "unlucky")
    assert world.scheduler.pool.used == 0
    world.run()
    assert world.finished == ["b"]


def test_a_step_with_too_few_tokens_is_an_error() -> None:
    scheduler = Scheduler(limits())
    scheduler.add(request("a", 2))
    batch = scheduler.schedule()
    assert batch is not None
    with pytest.raises(ValueError, match="zip"):
        scheduler.update(batch, [])


def test_what_could_never_finish_is_refused() -> None:
    with pytest.raises(RequestTooLong) as caught:
        Scheduler(limits()).add(request("a", 61, 4))
    assert (caught.value.limit, caught.value.got) == (64, 65)
    with pytest.raises(RequestTooLong) as caught:
        Scheduler(limits(block_count=3)).add(request("a", 9, 4))
    assert caught.value.limit == 12


def test_a_window_lets_a_small_cache_hold_a_long_sequence() -> None:
    world = World(limits(block_count=5, sliding_window=6, max_batch_tokens=8))
    world.scheduler.add(request("a", 40, 20))
    world.run()
    assert len(world.answers["a"]) == 20


@pytest.mark.parametrize(
    "field_name", ["max_sequences", "max_batch_tokens", "max_mixed_tokens", "block_size"]
)
def test_limits_name_what_they_refuse(field_name: str) -> None:
    values = {"max_sequences": 4, "max_batch_tokens": 8, "block_size": 4, field_name: 0}
    with pytest.raises(InvalidRequest, match=field_name):
        limits(**values)
