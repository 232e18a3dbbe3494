"""What a person sees while the demo runs."""

import io

import pytest

from tests.demo.narration import Narration


def narration(*seconds: float) -> Narration:
    readings = iter(seconds)
    return Narration(total=2, out=io.StringIO(), clock=lambda: next(readings))


def printed(story: Narration) -> str:
    assert isinstance(story.out, io.StringIO)
    return story.out.getvalue()


def test_a_step_is_announced_before_it_runs_and_timed_after() -> None:
    story = narration(10.0, 12.5)
    with story.step("Start a Kubernetes"):
        assert "[ 1/2] Start a Kubernetes" in printed(story)
        assert "done in" not in printed(story)
    assert "done in 2.5 s" in printed(story)


def test_a_step_that_fails_says_so_and_lets_the_error_through() -> None:
    story = narration(0.0, 1.0)
    with pytest.raises(ValueError, match="no disk"), story.step("Build"):
        raise ValueError("no disk")
    assert "failed after 1.0 s" in printed(story)


def test_the_summary_adds_the_steps_up() -> None:
    story = narration(0.0, 1.0, 1.0, 3.0)
    with story.step("First"):
        pass
    with story.step("Second one"):
        pass
    assert story.summary().splitlines() == [
        "First            1.0 s",
        "Second one       2.0 s",
        "total            3.0 s",
    ]
