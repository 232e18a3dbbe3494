"""The phases go forward only, and `/ready` shows exactly what the operator reads."""

import threading

import pytest
from model_server.api.lifecycle import Lifecycle, ModelIdentity, Phase


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lifecycle(clock: Clock) -> Lifecycle:
    return Lifecycle(ModelIdentity(name="tiny"), clock=clock)


def test_the_document_has_the_fields_of_the_contract(lifecycle: Lifecycle) -> None:
    assert lifecycle.now().document() == {
        "ready": False,
        "phase": "starting",
        "model": {"name": "tiny", "revision": None, "digest": None},
        "progress": {"bytes_loaded": 0, "bytes_total": 0},
        "seconds": {},
        "error": None,
    }


def test_each_finished_phase_leaves_its_seconds(lifecycle: Lifecycle, clock: Clock) -> None:
    for phase, seconds in ((Phase.LOADING, 3.2), (Phase.WARMING, 9.1), (Phase.READY, 0.4)):
        clock.now += seconds
        lifecycle.enter(phase)
    document = lifecycle.now().document()
    assert document["seconds"] == {"import": 3.2, "load": 9.1, "first_token": 0.4}
    assert document["ready"] is True


def test_a_phase_that_was_broken_off_has_no_seconds(lifecycle: Lifecycle, clock: Clock) -> None:
    clock.now += 1
    lifecycle.enter(Phase.LOADING)
    clock.now += 1
    lifecycle.fail("no such file")
    assert lifecycle.now().document()["seconds"] == {"import": 1.0}


def test_no_phase_goes_back(lifecycle: Lifecycle) -> None:
    lifecycle.enter(Phase.DRAINING)
    lifecycle.enter(Phase.READY)
    assert lifecycle.now().phase is Phase.DRAINING
    lifecycle.fail("died")
    lifecycle.enter(Phase.DRAINING)
    assert lifecycle.now().phase is Phase.FAILED


def test_trouble_takes_readiness_away_and_gives_it_back(lifecycle: Lifecycle) -> None:
    lifecycle.enter(Phase.READY)
    lifecycle.trouble("silent")
    assert not lifecycle.now().is_ready
    assert "silent" in lifecycle.now().sentence()
    lifecycle.trouble(None)
    assert lifecycle.now().is_ready
    lifecycle.fail("died")
    lifecycle.trouble(None)
    assert lifecycle.now().error == "died"


def test_progress_may_be_reported_from_any_thread(lifecycle: Lifecycle) -> None:
    lifecycle.enter(Phase.LOADING)
    assert "loading" in lifecycle.now().sentence()
    threads = [threading.Thread(target=lifecycle.loaded, args=(n, 1000)) for n in (250, 250)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now = lifecycle.now()
    assert (now.bytes_loaded, now.bytes_total) == (250, 1000)
    assert "25% of 1,000 bytes" in now.sentence()


def test_what_the_files_attest_replaces_what_was_believed(lifecycle: Lifecycle) -> None:
    lifecycle.identify(ModelIdentity(name="tiny", revision="a" * 40, digest="sha256:0"))
    assert lifecycle.now().document()["model"]["digest"] == "sha256:0"


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_a_sentence_for_who_was_turned_away(
    lifecycle: Lifecycle, phase: Phase
) -> None:
    lifecycle.enter(phase)
    assert len(lifecycle.now().sentence()) > 10
