"""What is told about a Workspace while it comes up."""

from typing import Any

from tests.demo.watching import changes_of, condition, sighting, unmet


def status(phase: str, progress: str = "", *, succeeded: bool = False) -> dict[str, Any]:
    return {
        "phase": phase,
        "progress": progress,
        "conditions": [
            {"type": "ResourceReady", "status": "True", "reason": "Yes", "message": "fine"},
            {
                "type": "WorkspaceSucceeded",
                "status": "True" if succeeded else "False",
                "reason": "workspacePending",
                "message": "the node is being launched",
            },
        ],
    }


def test_an_empty_status_is_told_as_such() -> None:
    assert sighting({}, 0.0).words == "not looked at yet"


def test_each_thing_is_told_once_and_the_telling_ends_with_success() -> None:
    statuses = [
        (0.0, {}),
        (0.5, status("Launching", "node 0 of 1")),
        (1.0, status("Launching", "node 0 of 1")),
        (1.5, status("Launching", "node 1 of 1")),
        (2.0, status("Ready", succeeded=True)),
        (2.5, status("Never reached")),
    ]
    told = [(each.seconds, each.words) for each in changes_of(iter(statuses))]
    assert told == [
        (0.0, "not looked at yet"),
        (0.5, "Launching: node 0 of 1"),
        (1.5, "Launching: node 1 of 1"),
        (2.0, "Ready"),
    ]


def test_a_failure_names_the_conditions_that_do_not_hold() -> None:
    assert unmet(status("Launching")) == (
        "WorkspaceSucceeded=False workspacePending: the node is being launched"
    )


def test_a_condition_that_is_not_there_is_empty() -> None:
    assert condition({}, "WorkspaceSucceeded") == {}
