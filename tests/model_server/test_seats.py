"""Rows of near memory: whoever comes and goes, a row holds what its sequence reads."""

from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_server.compute.layer_cache import Gathered, LayerCache
from model_server.engine.batch import BatchItem
from model_server.engine.history import History
from model_server.engine.request import SamplingParameters
from model_server.engine.seats import Seated, Seats

GREEDY = SamplingParameters(max_tokens=1, temperature=0)


@dataclass
class Sequence:
    """Stand for one that decodes: its next token is computed at `position`."""

    position: int
    adapter: str = ""
    history: History = field(default_factory=lambda: History((0,)))

    def item(self, tokens: int = 1) -> BatchItem:
        return BatchItem(
            request_id=str(id(self)),
            start=self.position,
            token_ids=(0,) * tokens,
            first_block=0,
            block_ids=(),
            samples=True,
            sampling=GREEDY,
            history=self.history,
            adapter=self.adapter,
        )


class World:
    """Hold in each cell whose position lies there, as a step would."""

    def __init__(self, *, rows: int, cells: int, window: int | None) -> None:
        self.seats = Seats(rows=rows, cells=cells, window=window)
        self.cells, self.window = cells, window
        self.held: dict[tuple[int, int], tuple[History, int]] = {}

    def step(self, items: list[BatchItem], *, fails: bool = False) -> Seated:
        seated = self.seats.seat(items)
        for row, (item, begin) in enumerate(zip(seated.items, seated.begins, strict=True)):
            for position in range(begin, item.end):
                self.held[row, position % self.cells] = (item.history, position)
            first = max(0, item.start - self.window + 1) if self.window else 0
            for position in range(first, item.end):
                assert self.held[row, position % self.cells] == (item.history, position)
        if fails:
            self.held.clear()  # some layers were never reached
        else:
            self.seats.keep(seated)
        return seated


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("comes"), st.integers(0, 30)),
        st.tuples(st.sampled_from(["goes", "waits", "is computed again"]), st.integers(0, 7)),
        st.just(("fails", 0)),
        st.just(("goes on", 0)),
    ),
    max_size=60,
)


@given(ACTIONS, st.sampled_from([None, 8]), st.integers(1, 6))
def test_a_row_holds_what_is_read(
    actions: list[tuple[str, int]], window: int | None, rows: int
) -> None:
    world = World(rows=rows, cells=window or 20, window=window)
    running: list[Sequence] = []
    for action, number in actions:
        one = running[number % len(running)] if running else None
        waiting = None
        if action == "comes":
            running.append(Sequence(position=number))
        elif action == "goes" and one:
            running.remove(one)
        elif action == "waits":
            waiting = one
        elif action == "is computed again" and one:
            one.position += 1  # as after a preemption: a chunk has computed the token due
        present = [sequence for sequence in running if sequence is not waiting]
        seated = world.step([s.item() for s in present], fails=action == "fails")
        assert len(seated.items) == len(set(map(id, seated.items))) <= rows
        if action != "fails":
            for sequence in present:
                sequence.position += 1


def test_who_goes_on_lacks_one_position_and_the_last_one_fills_a_gap() -> None:
    world = World(rows=4, cells=64, window=None)
    a, b, c = (Sequence(position=position) for position in (10, 12, 14))
    assert world.step([s.item() for s in (a, b, c)]).begins == (0, 0, 0)
    for sequence in (a, b, c):
        sequence.position += 1
    assert world.step([s.item() for s in (a, b, c)]).begins == (11, 13, 15)
    a.position, c.position = 12, 16
    seated = world.step([a.item(), c.item()])
    assert [item.history for item in seated.items] == [a.history, c.history]
    assert seated.begins == (12, 0)


def test_after_a_step_that_failed_everything_is_copied_again() -> None:
    world = World(rows=4, cells=64, window=None)
    one = Sequence(position=10)
    world.step([one.item()])
    one.position += 1
    world.step([one.item()], fails=True)
    assert world.step([one.item()]).begins == (0,)


def test_a_history_of_the_same_name_is_another_sequence() -> None:
    world = World(rows=4, cells=64, window=None)
    first, second = Sequence(position=10), Sequence(position=11)
    world.step([first.item()])
    assert world.step([second.item()]).begins == (0,)


@pytest.mark.parametrize(
    ("window", "position", "tokens", "adapter", "fits"),
    [
        (None, 19, 1, "", True),
        (None, 20, 1, "", False),
        (20, 500, 1, "", True),
        (64, 20, 1, "", False),  # a row shorter than the window cannot go round
        (None, 3, 2, "", False),
        (None, 3, 1, "style", False),
    ],
)
def test_who_gets_a_row(
    window: int | None,
    position: int,
    tokens: int,
    adapter: str,
    fits: bool,  # noqa: FBT001
) -> None:
    seats = Seats(rows=2, cells=20, window=window)
    item = Sequence(position=position, adapter=adapter).item(tokens)
    assert (len(seats.seat([item]).items) == 1) is fits


def test_who_would_make_the_others_read_too_much_is_left_out() -> None:
    seats = Seats(rows=8, cells=1000, window=None)
    short = [Sequence(position=9) for _ in range(4)]
    seated = seats.seat([s.item() for s in (*short, Sequence(position=899))])
    assert [item.end for item in seated.items] == [10] * 4
    alone = seats.seat([Sequence(position=899).item()])
    assert len(alone.items) == 1


def test_rows_are_copies_of_the_blocks() -> None:
    layer = LayerCache.make(
        (3, 4, 2, 5),
        dtype=torch.float32,
        device=torch.device("cpu"),
        gathered=Gathered(),
        near=(2, 8),
    )
    assert layer.near is not None
    numbers = torch.randn(2, 12, 2, 5)
    layer.write(torch.arange(12), *numbers)
    sources, targets = torch.tensor([1, 6, 11]), torch.tensor([8, 9, 10])
    layer.near.copy(sources, targets)
    keys, values = layer.near.read(2, 3)
    assert torch.equal(keys[1].transpose(0, 1), numbers[0][sources])
    assert torch.equal(values[1].transpose(0, 1), numbers[1][sources])
    assert not keys[0].any()
