import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_server.engine.batch import Batch
from model_server.engine.kv import first_needed
from model_server.engine.prefix import CachedPrefix, PrefixKeys, longest_cached
from model_server.engine.request import Request, SamplingParameters

from tests.model_server.scheduler_world import World, limits


def keys(tokens: list[int], *, salt: str = "", block_size: int = 2) -> list[bytes]:
    return PrefixKeys(salt=salt, block_size=block_size).of(tokens, len(tokens) // block_size)


def test_a_key_depends_on_every_token_before_it_and_on_the_salt() -> None:
    base = keys([1, 2, 3, 4, 5, 6])
    assert len(set(base)) == 3
    assert keys([1, 2, 3, 4, 9, 9])[:2] == base[:2]
    assert not set(keys([9, 2, 3, 4, 5, 6])) & set(base)
    assert not set(keys([1, 2, 3, 4, 5, 6], salt="other")) & set(base)


def test_a_key_depends_on_the_adapter_and_no_salt_can_stand_for_one() -> None:
    tokens = [1, 2]
    roots = [
        PrefixKeys(salt=salt, adapter=adapter, block_size=2).of(tokens, 1)[0]
        for salt, adapter in (("", ""), ("", "a"), ("a", ""), ("a", "a"), ("", "aa"), ("aa", ""))
    ]
    assert len(set(roots)) == len(roots)


@given(st.lists(st.integers(0, 300), min_size=2, max_size=12))
def test_tokens_do_not_run_into_each_other(tokens: list[int]) -> None:
    """A block of 1, 256 is not one of 257, 0, whatever the encoding."""
    other = [token + 1 for token in tokens]
    assert not set(keys(tokens)) & set(keys(other))


def test_keys_grow_with_their_sequence() -> None:
    tokens = [1, 2, 3]
    growing = PrefixKeys(salt="", block_size=2)
    first = growing.of(tokens, 1)
    tokens += [4, 5, 6]
    assert growing.of(tokens, 3) == keys(tokens)
    assert growing.of(tokens, 1) == first


@pytest.mark.parametrize(
    ("found", "window", "expected"),
    [
        ([], None, CachedPrefix()),
        ([None], None, CachedPrefix()),
        ([7, 8, None, 9], None, CachedPrefix(first=0, blocks=(7, 8))),
        ([7, 8, None, 9], 8, CachedPrefix(first=0, blocks=(7, 8))),
        ([None, None, 5, 6, 7], 8, CachedPrefix(first=3, blocks=(6, 7))),
        ([None, None, 5, 6, 7], 9, CachedPrefix(first=3, blocks=(6, 7))),
        ([None, None, 5, 6, 7], 10, CachedPrefix(first=2, blocks=(5, 6, 7))),
        ([None, None, None, 6, 7], 10, CachedPrefix()),
        ([3, None, None, 6], 1, CachedPrefix(first=4, blocks=())),
    ],
)
def test_the_longest_prefix(
    found: list[int | None], window: int | None, expected: CachedPrefix
) -> None:
    """Blocks of 4: of window 10 position 20 reads from 11 on, which lies in block 2."""
    names = [bytes([i]) for i in range(len(found))]
    held = dict(zip(names, found, strict=True))
    assert longest_cached(names, held.get, block_size=4, sliding_window=window) == expected


@given(
    found=st.lists(st.booleans(), max_size=12),
    window=st.none() | st.integers(1, 20),
    block_size=st.integers(1, 5),
)
def test_nothing_that_is_read_is_missing_and_nothing_longer_would_do(
    found: list[bool], window: int | None, block_size: int
) -> None:
    def readable(count: int) -> bool:
        first = first_needed(count * block_size, window) // block_size
        return all(found[first:count])

    held = {bytes([i]): i for i, present in enumerate(found) if present}
    names = [bytes([i]) for i in range(len(found))]
    prefix = longest_cached(names, held.get, block_size=block_size, sliding_window=window)
    assert prefix.end == max(count for count in range(len(found) + 1) if readable(count))
    assert prefix.blocks == tuple(range(prefix.first, prefix.end))


def ask(name: str, prompt: list[int], *, max_tokens: int = 1, salt: str = "") -> Request:
    sampling = SamplingParameters(max_tokens=max_tokens, temperature=0)
    return Request(request_id=name, prompt_ids=tuple(prompt), sampling=sampling, cache_salt=salt)


def computed(batches: list[Batch]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for batch in batches:
        for item in batch.items:
            sums[item.request_id] = sums.get(item.request_id, 0) + len(item.token_ids)
    return sums


@pytest.mark.parametrize("window", [None, 6])
def test_what_was_computed_is_not_computed_again(window: int | None) -> None:
    world = World(limits(max_batch_tokens=64, sliding_window=window))
    prompt = list(range(100, 118))
    world.scheduler.add(ask("a", prompt))
    assert computed(world.run()) == {"a": 18}
    world.scheduler.add(ask("same", prompt))
    world.scheduler.add(ask("longer", [*prompt, 7, 7]))
    world.scheduler.add(ask("other end", [*prompt[:13], 8, 8, 8, 8]))
    world.scheduler.add(ask("other start", [9, *prompt[1:]]))
    world.scheduler.add(ask("other salt", prompt, salt="b"))
    assert computed(world.run()) == {
        "same": 2,
        "longer": 4,
        "other end": 17 - 12,
        "other start": 18,
        "other salt": 18,
    }
    assert world.scheduler.prefix_tokens_found == 16 + 16 + 12
    assert world.scheduler.prefix_tokens_asked == 18 + 18 + 20 + 17 + 18 + 18


def test_the_last_token_is_computed_even_if_its_block_is_cached() -> None:
    world = World(limits(max_batch_tokens=64))
    world.scheduler.add(ask("a", list(range(16))))
    world.run()
    world.scheduler.add(ask("b", list(range(16))))
    assert computed(world.run()) == {"b": 4}
    assert world.answers["b"] == [16]


def test_an_answer_is_cached_for_the_next_turn() -> None:
    world = World(limits(max_batch_tokens=64))
    world.scheduler.add(ask("a", [10, 11, 12], max_tokens=10))
    world.run()
    world.scheduler.add(ask("next", [*range(10, 23), 5]))
    assert computed(world.run()) == {"next": 2}


def test_requests_that_come_together_share_one_prefill() -> None:
    """The second waits a step for the first, the third finds what both need."""
    world = World(limits(max_batch_tokens=64))
    for name in "abc":
        world.scheduler.add(ask(name, list(range(14)), max_tokens=3))
    batches = world.run()
    assert computed(batches[:2]) == {"a": 14 + 1, "b": 2, "c": 2}
    assert {tuple(answer) for answer in world.answers.values()} == {(14, 15, 16)}


def test_a_cancelled_prefill_is_waited_for_once() -> None:
    world = World(limits(max_batch_tokens=64))
    world.scheduler.add(ask("a", list(range(14))))
    world.scheduler.add(ask("b", list(range(14))))
    batch = world.scheduler.schedule()
    assert batch is not None
    assert [item.request_id for item in batch.items] == ["a"]
    world.scheduler.cancel("a")
    world.scheduler.add(ask("c", list(range(14))))
    assert computed(world.run())["b"] == 14


def test_what_failed_is_not_found_again() -> None:
    world = World(limits(max_batch_tokens=8, sliding_window=5))
    world.scheduler.add(ask("a", list(range(30))))
    for _ in range(3):
        world.step()
    batch = world.scheduler.schedule()
    assert batch is not None
    world.scheduler.fail(batch, "went wrong")
    world.scheduler.add(ask("b", list(range(30))))
    assert computed(world.run()) == {"b": 30}
