"""What tools make of a status that know nothing of Workspaces: Flux, Argo CD, kpt, helm --wait."""

from typing import Any

import pytest
from workspace_operator.snapshot import Snapshot
from workspace_operator.status import report

from tests.builders import at, planned, workspace
from tests.builders.situations import ROWS, SERVING, Row, told

Manifest = dict[str, Any]


def verdict(generation: int, status: Manifest) -> str:
    """
    Judge an object as kstatus does.

    Source: kubernetes-sigs/cli-utils, pkg/kstatus/status/generic.go and core.go.
    """
    if status["observedGeneration"] != generation:
        return "InProgress"
    found = {each["type"]: each["status"] for each in status["conditions"]}
    if found.get("Reconciling") == "True":
        return "InProgress"
    if found.get("Stalled") == "True":
        return "Failed"
    return "Current" if found.get("Ready", "True") == "True" else "InProgress"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_waits_for_a_person_has_failed_and_the_rest_is_under_way(row: Row) -> None:
    made, status = told(row)

    seen = verdict(made.generation, status.to_manifest())

    assert seen == ("Failed" if row.failed else "InProgress")


def test_what_serves_is_current() -> None:
    made, status = told(SERVING)

    assert verdict(made.generation, status.to_manifest()) == "Current"


def test_a_change_that_was_not_seen_yet_is_in_progress() -> None:
    made, status = told(SERVING)

    assert verdict(made.generation + 1, status.to_manifest()) == "InProgress"


def test_a_first_visit_shows_every_condition_that_will_come() -> None:
    """Nobody has to guess whether a condition that is absent is still to come."""
    made = workspace()
    first = report(made, planned(made), Snapshot(), at(1))
    _, last = told(SERVING)

    assert [each.type for each in first.conditions] == [each.type for each in last.conditions]


def test_one_who_recovers_is_not_stalled_any_more() -> None:
    failed = next(row for row in ROWS if row.failed and row.pods)
    made, status = told(failed)
    assert status.condition("Stalled")
    _, recovered = told(SERVING)

    assert recovered.condition("Stalled") is None
    deleting = made.model_copy(update={"status": status, "deletion_timestamp": at(400)})
    assert report(deleting, planned(made), Snapshot(), at(401)).condition("Stalled") is None
