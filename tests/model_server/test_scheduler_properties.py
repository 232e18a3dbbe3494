from hypothesis import given
from hypothesis import strategies as st
from model_server.batch import Batch
from model_server.scheduler import SchedulerLimits

from tests.model_server.scheduler_world import World, request


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw limits under which a sequence of 24 tokens fits, if only just."""
    block_size = draw(st.integers(1, 8))
    max_sequences = draw(st.integers(1, 5))
    window = draw(st.none() | st.integers(1, 12))
    least = -(-24 // block_size)
    return World(
        SchedulerLimits(
            max_sequences=max_sequences,
            max_batch_tokens=draw(st.integers(max_sequences + 1, 20)),
            max_model_len=24,
            block_size=block_size,
            block_count=draw(st.integers(least, 4 * least)),
            sliding_window=window,
            eos_token_ids=frozenset(),
        )
    )


sizes = st.lists(st.tuples(st.integers(1, 10), st.integers(1, 14)), min_size=1, max_size=8)


def check(world: World, batch: Batch) -> None:
    """Check what holds after every step."""
    assert 0 < batch.token_count <= world.limits.max_batch_tokens
    assert len(batch.items) <= world.limits.max_sequences
    assert all(item.token_ids for item in batch.items)
    scheduler = world.scheduler
    held = [block for sequence in scheduler._running for block in sequence.table.blocks]
    assert len(held) == len(set(held)) == scheduler.pool.used
    assert all(not sequence.table.blocks for sequence in scheduler._waiting)
    assert all(sequence.pending == 1 for sequence in scheduler._running[:-1])
    order = [sequence.request.request_id for sequence in (*scheduler._running, *scheduler._waiting)]
    assert order == sorted(order)  # by arrival: who waits is younger than who runs


@given(world=worlds(), asked=sizes)
def test_every_request_ends_with_its_own_answer(world: World, asked: list[tuple[int, int]]) -> None:
    for i, (length, max_tokens) in enumerate(asked):
        world.scheduler.add(request(f"{i}", length, max_tokens))
    for _ in range(2000):
        batch = world.step()
        if batch is None:
            break
        check(world, batch)
    assert world.scheduler.pool.used == 0
    for i, (length, max_tokens) in enumerate(asked):
        last = request(f"{i}", length).prompt_ids[-1]
        assert world.answers[f"{i}"] == list(range(last + 1, last + 1 + max_tokens))


@given(
    world=worlds(),
    asked=sizes,
    events=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 12)), max_size=8),
)
def test_cancelling_at_any_step_frees_everything(
    world: World, asked: list[tuple[int, int]], events: list[tuple[int, int]]
) -> None:
    """Requests arrive one per step; each event cancels one of them at one step."""
    for step in range(2000):
        if step < len(asked):
            world.scheduler.add(request(f"{step}", *asked[step]))
        for number, when in events:
            if when == step:
                world.scheduler.cancel(f"{number}")
        batch = world.step()
        if batch is None and step >= max([len(asked), *(when for _, when in events)]):
            break
    assert world.scheduler.pool.used == 0
    assert (world.scheduler.running, world.scheduler.waiting) == (0, 0)
    cancelled = {f"{number}" for number, _ in events}
    for i in range(len(asked)):
        assert f"{i}" in world.reasons or f"{i}" in cancelled


@given(world=worlds(), length=st.integers(1, 16))
def test_a_stream_of_late_comers_starves_nobody(world: World, length: int) -> None:
    """Somebody new arrives at every step, and the first one is still served in bounded time."""
    world.scheduler.add(request("0000", length, 8))
    for step in range(1, 60):
        world.scheduler.add(request(f"{step:04}", 1 + step % 16, 1 + step % 8))
        world.step()
        if "0000" in world.reasons:
            break
    # Its prompt takes at most `length` steps and its answer 8: each step moves the oldest on.
    assert step <= length + 8
