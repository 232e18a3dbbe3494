"""One event per phase that a Workspace enters, and none for standing still."""

from datetime import UTC, datetime
from typing import Any

from workspace_operator.api import Condition, WorkspaceStatus
from workspace_operator.events import MAX_NOTE_BYTES, phase_event

NOW = datetime(2026, 11, 21, 8, 30, 0, 123456, tzinfo=UTC)
BODY: dict[str, Any] = {
    "apiVersion": "kaito.sh/v1beta1",
    "kind": "Workspace",
    "metadata": {"name": "mistral", "namespace": "team", "uid": "u1"},
}


def event(before: WorkspaceStatus, after: WorkspaceStatus) -> dict[str, Any] | None:
    return phase_event(BODY, before.phase, after, NOW, "operator-0")


def test_a_new_phase_is_announced_with_its_progress() -> None:
    after = WorkspaceStatus(phase="LoadingWeights", progress="45 % of 13.5 GiB")
    made = event(WorkspaceStatus(phase="PullingImage"), after)
    assert made is not None
    assert (made["reason"], made["note"], made["type"]) == (
        "LoadingWeights",
        "45 % of 13.5 GiB",
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


def test_a_failure_is_a_warning_with_the_reason_in_its_note() -> None:
    ready = Condition(
        type="Ready",
        status="False",
        reason="GPUOutOfMemory",
        message="the model does not fit",
        last_transition_time=NOW,
    )
    made = event(
        WorkspaceStatus(), WorkspaceStatus(phase="Failed", state="NotReady", conditions=(ready,))
    )
    assert made is not None
    assert (made["type"], made["note"]) == ("Warning", "the model does not fit")


def test_a_note_is_cut_to_what_the_api_takes() -> None:
    made = event(WorkspaceStatus(), WorkspaceStatus(phase="Waiting", progress="é" * 2_000))
    assert made is not None
    assert len(made["note"].encode()) < MAX_NOTE_BYTES
    assert set(made["note"]) == {"é"}


def test_no_words_at_all_still_make_a_note() -> None:
    made = event(WorkspaceStatus(), WorkspaceStatus(phase="Ready"))
    assert made is not None
    assert made["note"] == "Phase Ready"
