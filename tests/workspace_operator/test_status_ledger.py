"""The seconds of a start, the figures of a load, and the memory of tries."""

import pytest
from workspace_operator.api import NodeAttempt, Startup, WorkspaceStatus
from workspace_operator.snapshot import ModelAnswer, Snapshot
from workspace_operator.status import report
from workspace_operator.status.evidence import gather
from workspace_operator.status.ledger import PHASES

from tests.builders import (
    BYO,
    OWNER,
    Manifest,
    at,
    claim,
    ended,
    node,
    planned,
    pod,
    running,
    stamp,
    workspace,
)

SECONDS = {"import": 4.0, "load": 10.0, "first_token": 0.5}
SERVES = ModelAnswer(
    ready=True, phase="ready", model_name="m", token_generated=True, seconds=SECONDS
)


def world(answer: ModelAnswer | None = None, *, steps: int = 3, started: bool = True) -> Snapshot:
    made = pod(state=running(260), ready=True) if started else pod()
    return Snapshot.parse(
        node_claims=[claim(steps=steps)],
        nodes=[node()],
        pods=[made] if steps == 3 else [],
        answers={"mistral-a": answer} if answer else {},
    )


def reported(
    snapshot: Snapshot, before: WorkspaceStatus | None = None, seconds: float = 300
) -> WorkspaceStatus:
    made = workspace(before)
    return report(made, planned(made), snapshot, at(seconds))


def test_the_phases_of_a_start_add_up_to_the_total() -> None:
    ledger = reported(world(SERVES)).startup
    assert ledger == Startup(
        node_launched=30,
        node_registered=60,
        gpu_visible=110,
        image_pulled=60,
        weights_loaded=14,
        first_token=0.5,
        total=274.5,
    )
    assert ledger.total == sum(getattr(ledger, phase) or 0 for phase in PHASES)


def test_weights_that_were_fetched_have_a_phase_of_their_own() -> None:
    end = ended(0) | {"startedAt": stamp(230), "finishedAt": stamp(258)}
    fetcher = {"name": "fetch-weights", "state": {"terminated": end}}
    made = pod(state=running(260), ready=True, initContainerStatuses=[fetcher])
    ledger = reported(
        Snapshot.parse(
            node_claims=[claim()], nodes=[node()], pods=[made], answers={"mistral-a": SERVES}
        )
    ).startup
    assert ledger
    assert (ledger.image_pulled, ledger.weights_fetched) == (30, 28)
    assert ledger.weights_loaded == 16
    assert ledger.total == sum(getattr(ledger, phase) for phase in PHASES) == 274.5


def test_a_fetch_that_was_killed_and_began_again_costs_weights_not_image() -> None:
    """The kubelet tells of the last attempt only; the ledger has kept when the first began."""

    def fetching(state: Manifest) -> Snapshot:
        made = pod(initContainerStatuses=[{"name": "fetch-weights", "state": state}])
        return Snapshot.parse(node_claims=[claim()], nodes=[node()], pods=[made])

    first = reported(fetching(running(230)), seconds=231)
    assert first.startup
    assert first.startup.image_pulled == 30
    again = {"startedAt": stamp(258), "finishedAt": stamp(258)}
    second = reported(fetching({"terminated": ended(0) | again}), first).startup
    assert second
    assert (second.image_pulled, second.weights_fetched) == (30, 28)


def test_a_machine_that_was_replaced_costs_the_phase_that_waited() -> None:
    first = reported(Snapshot.parse(node_claims=[claim(steps=1)]))
    assert first.startup == Startup(node_launched=30)
    manifest = claim(steps=2)
    for each, second in zip(manifest["status"]["conditions"], (400, 460), strict=False):
        each["lastTransitionTime"] = stamp(second)
    again = reported(Snapshot.parse(node_claims=[manifest]), first, seconds=500).startup
    assert again == Startup(node_launched=30, node_registered=430)


def test_the_phases_add_up_where_a_witness_is_gone() -> None:
    before = reported(world(ModelAnswer(phase="loading")))
    later = Snapshot.parse(
        pods=[pod(state=running(260), ready=True)], answers={"mistral-a": SERVES}
    )
    ledger = reported(later, before).startup
    assert ledger
    assert ledger.total == sum(getattr(ledger, phase) or 0 for phase in PHASES) == 274.5


def test_a_phase_that_has_not_ended_has_no_figure() -> None:
    ledger = reported(world(steps=1)).startup
    assert ledger == Startup(node_launched=30)
    assert reported(world(ModelAnswer(phase="loading"))).startup == Startup(
        node_launched=30, node_registered=60, gpu_visible=110, image_pulled=60
    )


def test_what_was_written_stays_when_its_witness_is_gone() -> None:
    before = reported(world(ModelAnswer(phase="loading")))
    after = reported(Snapshot(), before)
    assert after.startup == before.startup


def test_a_closed_ledger_speaks_of_that_start_only() -> None:
    before = reported(world(SERVES))
    later = Snapshot.parse(
        node_claims=[claim()],
        nodes=[node()],
        pods=[pod("other", state=running(9_000), ready=True)],
        answers={"other": SERVES},
    )
    assert reported(later, before).startup == before.startup


def test_brought_nodes_have_no_phases_of_machines() -> None:
    made = workspace()
    snapshot = Snapshot.parse(
        nodes=[node(labels={"apps": "mistral"})],
        pods=[pod(state=running(20), ready=True)],
        answers={"mistral-a": SERVES},
    )
    ledger = report(made, planned(made, BYO), snapshot, at(300)).startup
    assert ledger == Startup(image_pulled=20, weights_loaded=14, first_token=0.5, total=34.5)


def test_a_clock_that_runs_behind_costs_no_negative_seconds() -> None:
    manifest = claim()
    manifest["status"]["conditions"][1]["lastTransitionTime"] = "2026-03-01T09:59:00Z"
    ledger = reported(Snapshot.parse(node_claims=[manifest])).startup
    assert ledger
    assert ledger.node_registered == 0
    assert ledger.gpu_visible == 170


def test_an_object_without_a_birthday_has_no_ledger() -> None:
    made = workspace().model_copy(update={"creation_timestamp": None})
    assert report(made, planned(made), world(SERVES), at(300)).startup is None


def test_a_load_shows_share_speed_and_rest() -> None:
    half = ModelAnswer(
        phase="loading",
        bytes_loaded=7 * 1024**3,
        bytes_total=14 * 1024**3,
        seconds={"import": 5.0},
    )
    status = reported(world(half))
    assert status.progress == "50 % of 14.0 GiB, 35 s left"
    assert status.download
    assert status.download.bytes == 7 * 1024**3
    assert status.download.bytes_per_second == round(7 * 1024**3 / 35)
    assert status.download.seconds_left == 35


def test_a_load_that_has_just_begun_promises_nothing() -> None:
    begun = ModelAnswer(phase="loading", bytes_loaded=0, bytes_total=1024**3)
    status = reported(world(begun))
    assert status.progress == "0 % of 1.0 GiB"
    assert status.download
    assert status.download.seconds_left is None
    assert reported(world(ModelAnswer(phase="loading"))).download is None


def first(status: WorkspaceStatus) -> NodeAttempt:
    return status.node_attempts[0]


def test_the_reason_on_a_claim_outlives_it() -> None:
    asked = reported(Snapshot())
    assert first(asked).time == at(300)
    refused = Snapshot.parse(
        node_claims=[claim(first(asked).claim, steps=0, obstacle=("NoStock", "no A100"))]
    )
    seen = reported(refused, asked)
    assert (first(seen).reason, first(seen).message) == ("NoStock", "no A100")
    made = workspace(seen)
    gone = report(made, planned(made), Snapshot(), at(310))
    assert first(gone).claim is None
    assert (first(gone).reason, first(gone).attempt) == ("NoStock", 1)
    assert first(gone).time == at(310)
    assert first(gone).next_attempt_at
    assert 24 <= (first(gone).next_attempt_at - at(310)).total_seconds() <= 36  # type: ignore[operator]  # just asserted
    made = workspace(gone)
    again = report(made, planned(made), Snapshot(), at(400))
    assert first(again).claim not in (None, first(asked).claim)
    assert first(again).reason == "NoStock", "until the new claim says more"


def test_a_refused_write_is_the_reason_of_the_try() -> None:
    made = workspace()
    plan = planned(made)
    refused = report(made, plan, Snapshot(), at(0), fault="forbidden: exceeded quota")
    assert (first(refused).reason, first(refused).attempt) == ("ClusterRefused", 0)
    later = report(made.model_copy(update={"status": refused}), plan, Snapshot(), at(60))
    assert (first(later).reason, first(later).attempt) == ("ClusterRefused", 1)
    ready = later.condition("Ready")
    assert ready
    assert "No machine for Standard_NC24ads_A100_v4: forbidden: exceeded quota." in ready.message


@pytest.mark.parametrize(("minutes", "failures"), [(9, 4), (10, 0)])
def test_a_machine_that_lasts_clears_the_count_of_failures(minutes: int, failures: int) -> None:
    """One that comes and goes does not: it would be bought again twice a minute."""
    before = WorkspaceStatus(
        node_attempts=(
            NodeAttempt(ordinal=0, attempt=7, failures=4, claim="ws7", reason="NoStock"),
        )
    )
    snapshot = Snapshot.parse(node_claims=[claim("ws7")])
    attempt = first(reported(snapshot, before, 60 * minutes))
    assert (attempt.attempt, attempt.reason, attempt.claim) == (7, None, "ws7")
    assert attempt.failures == failures
    assert attempt.ready_at == at(0)


@pytest.mark.parametrize("count", [1, 3])
def test_every_slot_has_a_record(count: int) -> None:
    made = workspace(count=count)
    plan = planned(made)
    evidence = gather(made, plan, Snapshot(), at(0))
    assert len(evidence.slots.slots) == count
    names = {each.claim for each in report(made, plan, Snapshot(), at(0)).node_attempts}
    assert len(names) == count
    assert OWNER.uid not in names
