"""Asking a training how far it is: through a real HTTP server."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web
from workspace_operator.snapshot import Pod, TrainingAnswer
from workspace_operator.snapshot.jobs import parse_training_answer
from workspace_operator.training_probe import INTERVAL_SECONDS, TrainingProbe

from tests.builders import at


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Trainer:
    """Answer /status with whatever the test wants."""

    def __init__(self) -> None:
        self.body: object = {"phase": "training", "step": 3, "steps": 9, "seconds_left": 1.6}
        self.status = 200
        self.asked = 0
        self.port = 0

    async def answer(self, _request: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response(self.body, status=self.status)


@pytest_asyncio.fixture
async def trainer() -> AsyncIterator[Trainer]:
    made = Trainer()
    application = web.Application()
    application.router.add_get("/status", made.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


@pytest_asyncio.fixture
async def probe(trainer: Trainer) -> AsyncIterator[TrainingProbe]:
    made = TrainingProbe(port=trainer.port, monotonic=Clock())
    yield made
    await made.http.close()


POD = Pod(name="a", uid="u", ip="127.0.0.1", started=at(0))


async def ask(probe: TrainingProbe, pod: Pod = POD) -> TrainingAnswer | None:
    return (await probe.answers([pod])).get(pod.name)


async def test_the_figures_are_read(probe: TrainingProbe) -> None:
    answer = await ask(probe)
    assert answer == TrainingAnswer(phase="training", step=3, steps=9, seconds_left=2)


async def test_a_pod_is_asked_every_five_seconds_at_most(
    probe: TrainingProbe, trainer: Trainer
) -> None:
    assert isinstance(probe.monotonic, Clock)
    for _ in range(3):
        await ask(probe)
    assert trainer.asked == 1
    probe.monotonic.now += INTERVAL_SECONDS
    await ask(probe)
    assert trainer.asked == 2


async def test_a_pod_that_does_not_run_is_not_asked(probe: TrainingProbe, trainer: Trainer) -> None:
    assert await ask(probe, Pod(name="a", uid="u", ip="127.0.0.1")) is None
    assert trainer.asked == 0


async def test_an_error_and_a_closed_port_are_answers_too(
    probe: TrainingProbe, trainer: Trainer
) -> None:
    trainer.status = 500
    assert await ask(probe) == TrainingAnswer()
    probe.port = 1
    assert await ask(probe) == TrainingAnswer()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "null",
        '{"phase": null, "loss": "x", "step": true, "seconds_left": -1}',
        '{"loss": NaN, "tokens_per_second": Infinity, "step": 1e400, "steps": 1e300}',
        "[" * 60_000,
    ],
)
def test_nonsense_has_no_phase_and_no_figures(body: str) -> None:
    assert parse_training_answer(body) == TrainingAnswer()
