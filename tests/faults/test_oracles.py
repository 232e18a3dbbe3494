"""Each oracle objects when it should, and to nothing else."""

import copy
from typing import Any

from tests.world.fault_proxy import Exchange
from tests.world.fault_rules import Asked
from tests.world.history import Revision
from tests.world.oracles import (
    dishonest_statuses,
    end_state,
    late_writes,
    repeated_announcements,
    tally,
    too_many_claims,
)
from tests.world.oracles.end_state import difference

TEAM = "test-1"
STATUS = f"/apis/kaito.sh/v1beta1/namespaces/{TEAM}/workspaces/mistral/status"


def workspace(
    number: int, *, change: str = "MODIFIED", count: int = 1, **metadata: str
) -> Revision:
    return Revision(
        number=number,
        change=change,
        kind="Workspace",
        body={
            "metadata": {
                "name": "mistral",
                "namespace": TEAM,
                "uid": "w",
                "generation": 1,
                "resourceVersion": str(number),
                **metadata,
            },
            "resource": {"count": count},
            "status": {
                "phase": "Ready",
                "observedGeneration": 1,
                "conditions": [condition("Ready", "True"), condition("InferenceReady", "True")],
            },
        },
    )


def condition(kind: str, status: str, at: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": "Told",
        "message": "as it is",
        "lastTransitionTime": at,
        "observedGeneration": 1,
    }


def with_conditions(revision: Revision, *conditions: dict[str, Any]) -> Revision:
    body = copy.deepcopy(revision.body)
    body["status"]["conditions"] = list(conditions)
    return Revision(number=revision.number, change=revision.change, kind="Workspace", body=body)


def claim(number: int, uid: str, change: str = "ADDED") -> Revision:
    labels = {"kaito.sh/workspace": "mistral", "kaito.sh/workspacenamespace": TEAM}
    name = f"ws{uid * 15}"[:17]
    annotations = {"atelier.kaito.sh/ordinal": "0"}
    metadata = {"name": name, "uid": uid, "labels": labels, "annotations": annotations}
    return Revision(number=number, change=change, kind="NodeClaim", body={"metadata": metadata})


def event(number: int, reason: str) -> Revision:
    metadata = {"name": f"e{number}", "namespace": TEAM, "uid": f"e{number}"}
    body = {"metadata": metadata, "reason": reason, "regarding": {"kind": "Workspace"}}
    return Revision(number=number, change="ADDED", kind="Event", body=body)


class TestEndState:
    def test_two_runs_that_differ_in_names_and_times_are_alike(self) -> None:
        one = end_state([workspace(1), claim(2, "a")], TEAM)
        other = [workspace(7, resourceVersion="9", creationTimestamp="x"), claim(8, "b")]
        assert difference(one, end_state(other, TEAM)) == []

    def test_another_count_is_another_state(self) -> None:
        found = difference(
            end_state([workspace(1)], TEAM), end_state([workspace(1, count=2)], TEAM)
        )
        assert found == ["/Workspace mistral/0/resource/count: expected 1, found 2"]

    def test_an_object_too_many_is_another_state(self) -> None:
        one = end_state([claim(1, "a")], TEAM)
        assert difference(one, end_state([claim(1, "a"), claim(2, "b")], TEAM))

    def test_what_was_deleted_is_not_in_it(self) -> None:
        assert end_state([claim(1, "a"), claim(2, "a", "DELETED")], TEAM) == {}


class TestTally:
    def test_a_machine_bought_twice_is_counted_though_the_end_is_the_same(self) -> None:
        once = [claim(1, "a")]
        twice = [claim(1, "a"), claim(2, "a", "DELETED"), claim(3, "b")]
        assert end_state(once, TEAM) == end_state(twice, TEAM)
        assert tally(once) != tally(twice)
        assert tally(twice)["NodeClaim", "ordinal 0", "created"] == 2

    def test_which_of_two_like_machines_it_was_may_be_forgiven(self) -> None:
        other = claim(1, "a")
        other.body["metadata"]["annotations"]["atelier.kaito.sh/ordinal"] = "1"
        assert tally([claim(1, "a")]) != tally([other])
        assert tally([claim(1, "a")], alike=True) == tally([other], alike=True)

    def test_a_change_is_no_creation(self) -> None:
        assert tally([claim(1, "a"), claim(2, "a", "MODIFIED")]) == tally([claim(1, "a")])


class TestQuiet:
    LOG = (
        Exchange(asked=Asked(verb="PATCH", path=STATUS), at=10.0),
        Exchange(asked=Asked(verb="GET", path=STATUS), at=12.0),
        Exchange(asked=Asked(verb="DELETE", path="/apis/karpenter.sh/v1/nodeclaims/wsa"), at=12.0),
    )

    def test_a_read_and_an_earlier_write_are_quiet(self) -> None:
        assert late_writes(self.LOG, 11.0, TEAM, set()) == []

    def test_a_write_to_the_namespace_is_not(self) -> None:
        assert late_writes(self.LOG, 9.0, TEAM, set()) == [f"PATCH {STATUS}"]
        assert late_writes(self.LOG, 9.0, "other", set()) == []

    def test_a_write_to_its_machine_is_not(self) -> None:
        assert len(late_writes(self.LOG, 11.0, TEAM, {"wsa"})) == 1


class TestHonest:
    def test_a_well_formed_status_is(self) -> None:
        assert dishonest_statuses([workspace(1)]) == []

    def test_ready_without_a_token_is_not(self) -> None:
        (found,) = dishonest_statuses([workspace(1)], served=lambda _: False)
        assert "nobody was served" in found

    def test_ready_beside_a_part_that_is_not_is_not(self) -> None:
        broken = with_conditions(
            workspace(1), condition("Ready", "True"), condition("InferenceReady", "False")
        )
        assert "InferenceReady is False" in dishonest_statuses([broken])[0]

    def test_a_generation_that_was_never_seen_is_not(self) -> None:
        ahead = workspace(1)
        ahead.body["status"]["observedGeneration"] = 2
        assert "ahead of the object" in dishonest_statuses([ahead])[0]

    def test_a_time_that_moves_by_itself_is_not(self) -> None:
        later = with_conditions(workspace(2), condition("Ready", "True", "2026-01-02T00:00:00Z"))
        first = with_conditions(workspace(1), condition("Ready", "True"))
        assert "the status did not" in dishonest_statuses([first, later])[0]

    def test_a_time_that_goes_back_is_not(self) -> None:
        later = with_conditions(workspace(2), condition("Ready", "False", "2025-01-01T00:00:00Z"))
        first = with_conditions(workspace(1), condition("Ready", "True"))
        assert any("went back" in each for each in dishonest_statuses([first, later]))

    def test_a_write_without_news_is_not(self) -> None:
        assert "changed nothing" in dishonest_statuses([workspace(1), workspace(2)])[0]

    def test_two_conditions_of_a_type_are_not(self) -> None:
        twice = with_conditions(
            workspace(1), condition("Ready", "True"), condition("Ready", "True")
        )
        assert "Ready twice" in dishonest_statuses([twice])[0]

    def test_a_phase_announced_twice_is_told(self) -> None:
        assert repeated_announcements([workspace(1), event(2, "Ready")]) == []
        (found,) = repeated_announcements([workspace(1), event(2, "Ready"), event(3, "Ready")])
        assert "announced 2 times and entered 1 times" in found


class TestBounded:
    def test_as_many_as_wanted_are_fine_also_one_after_the_other(self) -> None:
        assert too_many_claims([workspace(1), claim(2, "a")]) == []
        after = [workspace(1), claim(2, "a"), claim(3, "a", "DELETED"), claim(4, "b")]
        assert too_many_claims(after) == []

    def test_one_too_many_is_told_even_if_it_was_gone_at_the_end(self) -> None:
        (found,) = too_many_claims([workspace(1), claim(2, "a"), claim(3, "b")])
        assert "is number 2" in found
        assert too_many_claims([workspace(1), claim(2, "a"), claim(3, "b")], surge=1) == []

    def test_a_smaller_count_is_no_fault_and_a_creation_after_it_is(self) -> None:
        smaller = [workspace(1, count=2), claim(2, "a"), claim(3, "b"), workspace(4)]
        assert too_many_claims(smaller) == []
        assert too_many_claims([*smaller, claim(5, "c")])

    def test_none_for_a_workspace_that_goes_or_is_gone(self) -> None:
        going = workspace(1, deletionTimestamp="2026-01-01T00:00:00Z")
        assert too_many_claims([going, claim(2, "a")])
        assert too_many_claims([workspace(1, change="DELETED"), claim(2, "a")])
