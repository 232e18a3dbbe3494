"""How far a training is: the pace, the pictures, and who may ask."""

import http.client
import json

import pytest
from model_tuning.progress import Picture, Progress, sentence
from model_tuning.web import answering, metrics_text


class Clock:
    """Stand still until moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_pace_counts_this_process_alone() -> None:
    clock = Clock()
    progress = Progress(clock)
    progress.begin_training(steps=100, resumed_from_step=40)
    assert progress.look().seconds_left is None
    clock.now = 10.0
    progress.advance(step=50, epoch=0.5, tokens=2000)
    progress.report_loss(3.0)
    progress.report_loss(2.5)
    picture = progress.look()
    assert (picture.step, picture.steps, picture.resumed_from_step) == (50, 100, 40)
    assert picture.tokens_per_second == pytest.approx(200)
    assert picture.seconds_left == pytest.approx(50)
    assert (picture.first_loss, picture.loss) == (3.0, 2.5)
    assert sentence(picture) == ("training, step 50 of 100, loss 2.5000, 200 tokens/s, 50 s left")


def test_a_failure_keeps_what_was_known() -> None:
    progress = Progress()
    progress.begin_training(steps=10, resumed_from_step=0)
    progress.enter("failed", error="disk full")
    assert progress.look().phase == "failed"
    assert progress.look().steps == 10
    assert progress.look().error == "disk full"


def ask(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_everybody_may_ask_and_nobody_may_do_more() -> None:
    progress = Progress()
    with answering(progress, "127.0.0.1", 0) as port:
        assert json.loads(ask(port, "/status")[1])["phase"] == "loading"
        progress.begin_training(steps=7, resumed_from_step=0)
        assert json.loads(ask(port, "/status")[1])["steps"] == 7
        assert "atelier_tuning_steps 7" in ask(port, "/metrics")[1]
        assert ask(port, "/health")[0] == 200
        assert ask(port, "/")[0] == 404
        assert ask(port, "/status", "POST")[0] == 501


def test_a_figure_that_is_not_known_is_left_out() -> None:
    assert "atelier_tuning_loss" not in metrics_text(Picture())
    assert "atelier_tuning_loss 1.5" in metrics_text(Picture(loss=1.5))
