"""An engine is silent for as long as this process ran without a sign of it, and no longer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_server.engine.silence import PAUSE_SECONDS, Silence

LOOK_SECONDS = 0.5


def silence_of(beats: list[float], looks: list[float]) -> float:
    """Look at those moments, with signs of life at those; return what the last look says."""
    silence, said = Silence(0.0), 0.0
    for now in looks:
        age = now - max((beat for beat in beats if beat <= now), default=0.0)
        said = silence.look(age, now)
    return said


def every_half_second(begin: float, end: float) -> list[float]:
    return [begin + LOOK_SECONDS * i for i in range(1, int((end - begin) / LOOK_SECONDS) + 1)]


def test_an_engine_that_hangs_is_silent_for_as_long_as_it_hangs() -> None:
    assert silence_of([3.0], every_half_second(0, 64)) == 61.0


@pytest.mark.parametrize("last_beat", [9.4, 10.0, 10.2])
def test_a_process_that_was_stopped_has_not_been_silent(last_beat: float) -> None:
    looks = [*every_half_second(0, 10), 1000.0]  # stopped just after the look at 10
    assert silence_of([last_beat], looks) < 1.0


def test_what_comes_after_a_stop_counts() -> None:
    looks = [*every_half_second(0, 10), *every_half_second(999.5, 1040)]
    assert silence_of([10.0], looks) == pytest.approx(40.0)
    assert silence_of([10.0, 1001.0], looks) == pytest.approx(39.0)


def test_two_stops_count_as_little_as_one() -> None:
    looks = [*every_half_second(0, 10), 100.0, 100.5, 200.0]
    assert silence_of([10.0], looks) == pytest.approx(0.5)


@given(st.lists(st.floats(0.01, 200), min_size=1), st.floats(0, 1))
def test_it_is_never_negative_nor_more_than_the_age(gaps: list[float], part: float) -> None:
    looks = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    beat = part * looks[-1]
    assert 0 <= silence_of([beat], looks) <= looks[-1] - beat + 1e-6


def test_a_busy_event_loop_is_no_stop() -> None:
    assert silence_of([0.0], [PAUSE_SECONDS, 2 * PAUSE_SECONDS]) == 2 * PAUSE_SECONDS
