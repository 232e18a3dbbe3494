"""One event per phase that a Workspace enters, and none for standing still."""

from datetime import UTC, datetime
from typing import Any

from workspace_operator.api import Condition, WorkspaceStatus
from workspace_operator.events import MAX_NOTE_BYTES, drift_event, headline, headline_event

NOW = datetime(2026, 11, 21, 8, 30, 0, 123456, tzinfo=UTC)
BODY: dict[str, Any] = {
    "apiVersion": "kaito.sh/v1beta1",
    "kind": "Workspace",
    "metadata": {"name": "mistral", "namespace": "team", "uid": "u1"},
}


def event(before: WorkspaceStatus, after: WorkspaceStatus) -> dict[str, Any] | None:
    return headline_event(BODY, headline(before), after, NOW, "operator-0")


def condition(kind: str, reason: str, message: str, status: str = "False") -> Condition:
    return Condition(
        type=kind, status=status, reason=reason, message=message, last_transition_time=NOW
    )


def test_a_new_phase_is_announced_by_what_everything_leads_to() -> None:
    ready = condition("Ready", "LoadingWeights", "Pod mistral-a is loading the weights.")
    after = WorkspaceStatus(phase="LoadingWeights", progress="45 %", conditions=(ready,))
    made = event(WorkspaceStatus(phase="PullingImage"), after)
    assert made is not None
    assert (made["reason"], made["note"], made["type"]) == (
        "LoadingWeights",
        "Pod mistral-a is loading the weights.",
        "Normal",
    )
    assert made["regarding"]["uid"] == "u1"
    assert made["eventTime"] == "2026-11-21T08:30:00.123456Z"
    assert made["metadata"]["namespace"] == "team"
    assert made["metadata"]["name"].startswith("mistral.")


def test_the_same_phase_is_silent_whatever_else_moved() -> None:
    before = WorkspaceStatus(phase="LoadingWeights", progress="45 %")
    assert event(before, WorkspaceStatus(phase="LoadingWeights", progress="46 %")) is None
    assert event(before, WorkspaceStatus()) is None


def test_a_failure_within_a_phase_is_a_warning_of_its_own_and_told_once() -> None:
    words = "Node n cannot pull the image."
    stalled = condition("Stalled", "ImagePullError", words, status="True")
    failed = WorkspaceStatus(
        phase="PullingImage",
        conditions=(condition("Ready", "ImagePullError", words), stalled),
    )
    made = event(WorkspaceStatus(phase="PullingImage"), failed)
    assert made is not None
    assert (made["type"], made["reason"], made["note"]) == ("Warning", "ImagePullError", words)
    assert event(failed, failed) is None
    back = event(failed, WorkspaceStatus(phase="PullingImage"))
    assert back is not None
    assert (back["type"], back["reason"]) == ("Normal", "PullingImage")


def test_what_serves_no_more_is_a_warning() -> None:
    made = event(WorkspaceStatus(phase="Ready"), WorkspaceStatus(phase="Probing", state="NotReady"))
    assert made is not None
    assert made["type"] == "Warning"


def test_a_note_is_cut_to_what_the_api_takes() -> None:
    ready = condition("Ready", "Waiting", "é" * 2_000)
    made = event(WorkspaceStatus(), WorkspaceStatus(phase="Waiting", conditions=(ready,)))
    assert made is not None
    assert len(made["note"].encode()) < MAX_NOTE_BYTES
    assert set(made["note"]) == {"é"}


def test_no_words_at_all_still_make_a_note() -> None:
    made = event(WorkspaceStatus(), WorkspaceStatus(phase="Ready"))
    assert made is not None
    assert made["note"] == "Phase Ready"


def test_what_was_put_back_is_named_with_the_way_to_find_who_changed_it() -> None:
    changed = {"kind": "Deployment", "metadata": {"name": "mistral"}}
    made = drift_event(BODY, changed, NOW, "operator-0")
    assert (made["reason"], made["action"], made["type"]) == ("Drift", "Restore", "Warning")
    assert "Deployment mistral" in made["note"]
    assert "kubectl get deployment mistral --show-managed-fields" in made["note"]
    assert made["regarding"]["kind"] == "Workspace"
