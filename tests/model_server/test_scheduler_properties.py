from hypothesis import given
from hypothesis import strategies as st
from model_server.engine.batch import Batch
from model_server.engine.request import Request, SamplingParameters
from model_server.engine.scheduler import SchedulerLimits

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
            max_mixed_tokens=draw(st.none() | st.integers(max_sequences + 1, 20)),
            max_model_len=24,
            block_size=block_size,
            block_count=draw(st.integers(least, 4 * least)),
            sliding_window=window,
            eos_token_ids=frozenset(),
        )
    )


# Family, length of the prompt, longest answer. Prompts of one family begin alike, and an answer
# goes on as a longer prompt of its family would: much of what is asked is in the cache.
Asked = tuple[int, int, int]
sizes = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 10), st.integers(1, 14)), min_size=1, max_size=8
)


def one_of(name: str, asked: Asked) -> Request:
    family, length, max_tokens = asked
    prompt = tuple(range(100 * family, 100 * family + length))
    sampling = SamplingParameters(max_tokens=max_tokens, temperature=0)
    return Request(request_id=name, prompt_ids=prompt, sampling=sampling)


def check(world: World, batch: Batch) -> None:
    """Check what holds after every step."""
    assert 0 < batch.token_count <= world.limits.max_batch_tokens
    assert len(batch.items) <= world.limits.max_sequences
    assert all(item.token_ids for item in batch.items)
    scheduler = world.scheduler
    held = [block for sequence in scheduler._running for block in sequence.table.blocks]
    assert len(set(held)) == scheduler.pool.used
    check_writes(batch, scheduler.limits.block_size)
    assert all(not sequence.table.blocks for sequence in scheduler._waiting)
    assert all(sequence.pending == 1 for sequence in scheduler._running[:-1])
    order = [sequence.request.request_id for sequence in (*scheduler._running, *scheduler._waiting)]
    assert order == sorted(order)  # by arrival: who waits is younger than who runs


def check_writes(batch: Batch, block_size: int) -> None:
    """Nobody may read or share what somebody else writes."""
    written = [
        block
        for item in batch.items
        for block in item.block_ids[item.start // block_size - item.first_block :]
    ]
    assert len(written) == len(set(written))
    for item in batch.items:
        own = item.block_ids[item.start // block_size - item.first_block :]
        assert not set(written).difference(own).intersection(item.block_ids)


@given(world=worlds(), asked=sizes)
def test_every_request_ends_with_its_own_answer(world: World, asked: list[Asked]) -> None:
    for i, wanted in enumerate(asked):
        world.scheduler.add(one_of(f"{i}", wanted))
    for _ in range(2000):
        batch = world.step()
        if batch is None:
            break
        check(world, batch)
    assert world.scheduler.pool.used == 0
    for i, (family, length, max_tokens) in enumerate(asked):
        begin = 100 * family + length
        assert world.answers[f"{i}"] == list(range(begin, begin + max_tokens))


@given(
    world=worlds(),
    asked=sizes,
    events=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 12)), max_size=8),
)
def test_cancelling_at_any_step_frees_everything(
    world: World, asked: list[Asked], events: list[tuple[int, int]]
) -> None:
    """Requests arrive one per step; each event cancels one of them at one step."""
    for step in range(2000):
        if step < len(asked):
            world.scheduler.add(one_of(f"{step}", asked[step]))
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
