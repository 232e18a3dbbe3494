import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from model_server.engine.kv import BlockPool, BlockTable, blocks_for, first_needed, most_blocks


def test_a_pool_hands_out_each_block_once() -> None:
    pool = BlockPool(4)
    first, second = pool.take(2), pool.take(2)
    assert first is not None
    assert second is not None
    assert sorted(first + second) == [0, 1, 2, 3]
    assert pool.take(1) is None
    assert (pool.used, pool.free, pool.total) == (4, 0, 4)


def test_a_pool_that_is_too_small_hands_out_nothing() -> None:
    pool = BlockPool(2)
    assert pool.take(3) is None
    assert pool.free == 2


def test_a_shared_block_is_free_when_its_last_holder_gives_it_back() -> None:
    pool = BlockPool(1)
    blocks = pool.take(1)
    assert blocks == [0]
    pool.share(blocks)
    pool.give_back(blocks)
    assert pool.free == 0
    pool.give_back(blocks)
    assert pool.free == 1


def test_a_free_block_can_be_neither_shared_nor_given_back() -> None:
    pool = BlockPool(1)
    with pytest.raises(ValueError, match="block 0 is free"):
        pool.share([0])
    with pytest.raises(ValueError, match="block 0 is free"):
        pool.give_back([0])


def test_a_remembered_block_is_found_until_it_is_handed_out_again() -> None:
    pool = BlockPool(2)
    (block,) = pool.take(1) or []
    pool.remember(block, b"a")
    pool.give_back([block])
    assert pool.find(b"a") == block
    assert not pool.is_held(block)
    pool.share([block])
    assert pool.used == 1
    pool.give_back([block])
    assert pool.take(2) is not None
    assert pool.find(b"a") is None


def test_blocks_without_content_are_handed_out_first_then_the_longest_free() -> None:
    pool = BlockPool(4)
    blocks = pool.take(3) or []
    for block, key in zip(blocks, (b"a", b"b", b"c"), strict=True):
        pool.remember(block, key)
    pool.give_back([blocks[1]])
    pool.give_back([blocks[0], blocks[2]])
    assert pool.take(1) == [3]
    pool.share([blocks[0]])  # used again: not the oldest any more
    pool.give_back([blocks[0]])
    assert pool.take(3) == [blocks[1], blocks[2], blocks[0]]


def test_a_second_block_of_the_same_content_is_not_found() -> None:
    pool = BlockPool(2)
    blocks = pool.take(2) or []
    for block in blocks:
        pool.remember(block, b"a")
    assert pool.find(b"a") == blocks[0]
    pool.forget(blocks[1:])
    assert pool.find(b"a") == blocks[0]
    pool.forget(blocks)
    assert pool.find(b"a") is None
    assert pool.used == 2


def test_only_a_held_block_is_remembered() -> None:
    with pytest.raises(ValueError, match="block 0 is free"):
        BlockPool(1).remember(0, b"a")


def test_a_table_begins_with_blocks_of_another() -> None:
    pool = BlockPool(4)
    first, second = (BlockTable(pool, block_size=4, sliding_window=None) for _ in range(2))
    first.cover(0, 8)
    second.adopt(0, first.blocks)
    assert second.cover(8, 12)
    assert second.blocks[:2] == first.blocks
    assert pool.used == 3
    first.free()
    assert pool.used == 3
    with pytest.raises(ValueError, match="holds blocks"):
        second.adopt(0, [])


def test_a_table_grows_by_whole_blocks() -> None:
    pool = BlockPool(4)
    table = BlockTable(pool, block_size=4, sliding_window=None)
    assert table.cover(0, 5)
    assert len(table.blocks) == 2
    assert table.cover(5, 8)
    assert len(table.blocks) == 2
    assert table.cover(8, 9)
    assert (table.first, len(table.blocks)) == (0, 3)


def test_a_table_that_finds_no_block_keeps_what_it_has() -> None:
    pool = BlockPool(2)
    table = BlockTable(pool, block_size=4, sliding_window=None)
    assert table.cover(0, 8)
    assert not table.cover(8, 9)
    assert len(table.blocks) == 2


def test_a_table_lets_go_of_what_the_window_has_passed() -> None:
    pool = BlockPool(8)
    table = BlockTable(pool, block_size=4, sliding_window=5)
    assert table.cover(0, 12)
    third = table.blocks[2]
    assert table.cover(12, 13)  # reads 8..12: blocks 2 and 3
    assert (table.first, len(table.blocks)) == (2, 2)
    assert table.blocks[0] == third
    assert pool.used == 2


def test_freeing_a_table_twice_is_freeing_it_once() -> None:
    pool = BlockPool(2)
    table = BlockTable(pool, block_size=4, sliding_window=None)
    table.cover(0, 8)
    table.free()
    table.free()
    assert pool.free == 2
    assert (table.first, table.blocks) == (0, [])


@pytest.mark.parametrize(
    ("position", "window", "first"), [(9, None, 0), (9, 4, 6), (3, 4, 0), (0, 1, 0), (7, 1, 7)]
)
def test_the_window_counts_the_token_itself(position: int, window: int | None, first: int) -> None:
    assert first_needed(position, window) == first


def test_most_blocks_of_mistral_under_its_window() -> None:
    counts = {
        tokens: most_blocks(tokens, step_tokens=512, block_size=64, window=4096)
        for tokens in (64, 5000, 32000)
    }
    assert counts == {64: 1, 5000: 73, 32000: 73}


@given(
    steps=st.lists(st.integers(1, 9), min_size=1, max_size=30),
    block_size=st.integers(1, 8),
    window=st.none() | st.integers(1, 20),
)
def test_a_table_never_holds_more_than_the_bound(
    steps: list[int], block_size: int, window: int | None
) -> None:
    total = sum(steps)
    bound = most_blocks(total, step_tokens=max(steps), block_size=block_size, window=window)
    pool = BlockPool(bound)
    table = BlockTable(pool, block_size=block_size, sliding_window=window)
    start = 0
    for count in steps:
        assert table.cover(start, start + count)
        oldest = first_needed(start, window)
        assert table.first * block_size <= oldest
        assert (table.first + len(table.blocks)) * block_size >= start + count
        start += count
    assert table.first + len(table.blocks) == blocks_for(total, block_size)


class PoolMachine(RuleBasedStateMachine):
    """Compare the pool with a plain list of who holds what."""

    @initialize(total=st.integers(0, 6))
    def start(self, total: int) -> None:
        self.pool = BlockPool(total)
        self.total = total
        self.held: list[int] = []  # once per holder

    @rule(count=st.integers(0, 4))
    def take(self, count: int) -> None:
        free = self.total - len(set(self.held))
        blocks = self.pool.take(count)
        assert (blocks is None) == (count > free)
        if blocks is not None:
            assert not set(blocks) & set(self.held)
            assert len(set(blocks)) == count
            self.held += blocks

    @rule(data=st.data())
    def share(self, data: st.DataObject) -> None:
        if self.held:
            block = data.draw(st.sampled_from(self.held))
            self.pool.share([block])
            self.held.append(block)

    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        if self.held:
            block = data.draw(st.sampled_from(self.held))
            self.pool.give_back([block])
            self.held.remove(block)

    @rule(data=st.data(), key=st.integers(0, 5))
    def remember(self, data: st.DataObject, key: int) -> None:
        if self.held:
            self.pool.remember(data.draw(st.sampled_from(self.held)), bytes([key]))

    @rule(key=st.integers(0, 5))
    def revive(self, key: int) -> None:
        block = self.pool.find(bytes([key]))
        if block is not None:
            self.pool.share([block])
            self.held.append(block)

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        if self.total:
            self.pool.forget([data.draw(st.integers(0, self.total - 1))])

    @invariant()
    def a_key_leads_to_one_block(self) -> None:
        if hasattr(self, "pool"):
            found = [block for i in range(6) if (block := self.pool.find(bytes([i]))) is not None]
            assert len(found) == len(set(found))

    @invariant()
    def counts_agree(self) -> None:
        if hasattr(self, "pool"):
            assert self.pool.used == len(set(self.held))
            assert self.pool.free == self.total - self.pool.used


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=30, stateful_step_count=30)
