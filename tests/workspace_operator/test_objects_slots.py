"""Machines and tries: never more claims than wanted, never a try before its time."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workspace_operator.api import NodeAttempt, Workspace, WorkspaceStatus
from workspace_operator.changes import changes
from workspace_operator.cluster.ownership import FIELD_MANAGER
from workspace_operator.objects import desired_objects
from workspace_operator.objects.back_off import delay_seconds
from workspace_operator.objects.metadata import claim_name
from workspace_operator.objects.slots import Slots, slots
from workspace_operator.snapshot import Snapshot
from workspace_operator.status import report

from tests.builders import OWNER, SETTINGS, T0, Manifest, at, claim, planned, workspace


def remembered(**facts: Any) -> WorkspaceStatus:  # noqa: ANN401 - as NodeAttempt
    return WorkspaceStatus(node_attempts=(NodeAttempt(**({"ordinal": 0, "attempt": 0} | facts)),))


def seen(made: Workspace, snapshot: Snapshot, now: datetime) -> Slots:
    return slots(made, planned(made), snapshot, now)


def test_the_first_try_is_made_at_once() -> None:
    found = seen(workspace(), Snapshot(), T0)
    assert [slot.due(T0) for slot in found.slots] == [True]


def test_a_claim_that_was_just_asked_for_is_waited_for() -> None:
    status = remembered(claim="ws1", time=at(0))
    slot = seen(workspace(status), Snapshot(), at(0.9)).slots[0]
    assert slot.asked == "ws1"
    assert not slot.due(at(0.9))


def test_a_claim_that_is_gone_is_a_failed_try_and_the_next_waits() -> None:
    status = remembered(claim="ws1", time=at(0))
    slot = seen(workspace(status), Snapshot(), at(60)).slots[0]
    assert slot.attempt == 1
    assert not slot.due(at(60))
    assert slot.due(at(60 + 36))


@pytest.mark.parametrize(("tries", "least", "most"), [(1, 24, 36), (2, 48, 72), (9, 720, 1080)])
def test_delays_double_up_to_a_quarter_of_an_hour(tries: int, least: float, most: float) -> None:
    assert least <= delay_seconds(OWNER, 0, tries, tries) <= most
    assert delay_seconds(OWNER, 0, tries, tries) == delay_seconds(OWNER, 0, tries, tries)
    spread = {round(delay_seconds(replace(OWNER, uid=str(n)), 0, tries, tries)) for n in range(50)}
    assert len(spread) > 5


def test_claims_of_kaito_are_adopted() -> None:
    """A claim with our labels but no UID was made by another operator for this Workspace."""
    snapshot = Snapshot.parse(node_claims=[claim("wsabc", uid=None, ordinal=None)])
    found = seen(workspace(), snapshot, T0)
    assert [slot.claim.name for slot in found.slots if slot.claim] == ["wsabc"]
    assert found.surplus == ()


def test_claims_of_an_earlier_workspace_of_the_same_name_go_before_new_ones_come() -> None:
    snapshot = Snapshot.parse(node_claims=[claim("old", uid="uid-0")])
    found = seen(workspace(), snapshot, T0)
    assert found.slots == ()
    assert [each.name for each in found.surplus] == ["old"]


def test_a_claim_of_ours_that_lost_its_labels_is_still_ours() -> None:
    manifest = claim()
    manifest["metadata"]["labels"] = {}
    found = seen(workspace(), Snapshot.parse(node_claims=[manifest]), T0)
    assert found.slots[0].claim is not None


def test_ready_claims_survive_a_smaller_count() -> None:
    claims = [claim(ordinal=0, steps=1), claim(ordinal=1), claim(ordinal=2, deleting=True)]
    found = seen(workspace(), Snapshot.parse(node_claims=claims), T0)
    assert [slot.ordinal for slot in found.slots] == [1]
    assert [each.name for each in found.surplus] == [claim_name(OWNER, 0, 0)]


def test_of_ready_claims_the_youngest_goes_first() -> None:
    claims = [claim(ordinal=0), claim(ordinal=1)]
    claims[0]["metadata"]["creationTimestamp"] = "2026-03-01T11:00:00Z"
    found = seen(workspace(), Snapshot.parse(node_claims=claims), T0)
    assert [slot.ordinal for slot in found.slots] == [1]


def test_a_claim_that_lost_labels_and_annotations_is_known_by_its_name() -> None:
    bare = claim(ordinal=0)
    bare["metadata"] |= {"labels": {}, "annotations": {}}
    found = seen(workspace(), Snapshot.parse(node_claims=[bare]), T0)
    assert [slot.claim.name for slot in found.slots if slot.claim] == [claim_name(OWNER, 0, 0)]
    foreign = claim("ws-of-another", ordinal=None, uid=None)
    foreign["metadata"] |= {"labels": {}, "annotations": {}}
    assert seen(workspace(), Snapshot.parse(node_claims=[foreign]), T0).slots[0].claim is None


def test_a_claim_of_somebody_else_with_our_name_is_left_alone_and_blocks() -> None:
    """Adopted is what we wrote, as the API server remembers, also without labels."""
    bare = claim(ordinal=0)
    bare["metadata"] |= {"labels": {}, "annotations": {}}
    bare["metadata"]["managedFields"] = [{"manager": "kubectl-create"}]
    found = seen(workspace(), Snapshot.parse(node_claims=[bare]), T0)
    assert [(slot.claim, slot.taken) for slot in found.slots] == [(None, bare["metadata"]["name"])]
    assert not found.slots[0].due(at(1e6))
    assert found.unwanted == ()
    bare["metadata"]["managedFields"] += [{"manager": FIELD_MANAGER}]
    (slot,) = seen(workspace(), Snapshot.parse(node_claims=[bare]), T0).slots
    assert slot.claim is not None


def test_a_cluster_without_karpenter_counts_no_tries() -> None:
    """Else whoever installs Karpenter an hour later waits for another quarter of one."""
    status, nowhere = WorkspaceStatus(), Snapshot(claims_served=False)
    for seconds in range(0, 3600, 60):
        made = workspace(status)
        assert not seen(made, nowhere, at(seconds)).slots[0].due(at(seconds))
        status = report(made, planned(made), nowhere, at(seconds))
    assert status.node_attempts == ()
    assert seen(workspace(status), Snapshot(), at(3600)).slots[0].due(at(3600))


def test_a_dying_claim_keeps_its_place_until_it_is_gone() -> None:
    found = seen(workspace(), Snapshot.parse(node_claims=[claim(deleting=True)]), T0)
    assert [slot.due(T0) for slot in found.slots] == [False]


def test_two_claims_of_one_ordinal_both_count() -> None:
    claims = [claim("a", ordinal=0), claim("b", ordinal=0)]
    found = seen(workspace(count=2), Snapshot.parse(node_claims=claims), T0)
    assert sorted(slot.claim.name for slot in found.slots if slot.claim) == ["a", "b"]
    found = seen(workspace(), Snapshot.parse(node_claims=claims), T0)
    assert len(found.surplus) == 1


def passes(
    cloud: "StubbornCloud", count: int, until: float, step: float
) -> tuple[list[datetime], WorkspaceStatus]:
    """Run the pure part of the operator against a cloud; return when claims were asked for."""
    status = WorkspaceStatus()
    asked: list[datetime] = []
    now = T0
    while now <= at(until):
        made = workspace(status, count=count)
        snapshot = Snapshot.parse(node_claims=list(cloud.claims.values()))
        plan = planned(made)
        wanted = desired_objects(made, plan, snapshot, SETTINGS, now)
        todo = changes(made, plan, wanted, snapshot, now)
        for manifest in todo.apply:
            if manifest["kind"] == "NodeClaim":
                cloud.create(manifest)
                asked.append(now)
        for gone in todo.delete:
            cloud.claims.pop(gone.name)
        assert len(cloud.claims) <= count, "more machines than wanted"
        status = report(made, plan, snapshot, now)
        cloud.act()
        now += timedelta(seconds=step)
    return asked, status


class StubbornCloud:
    """Play Karpenter in a region without a free machine: claims vanish as soon as they are seen."""

    def __init__(self, *, at_once: bool) -> None:
        self.claims: dict[str, Manifest] = {}
        self.seen: set[str] = set()
        self.at_once = at_once

    def create(self, manifest: Manifest) -> None:
        assert manifest["metadata"]["name"] not in self.claims
        seen = claim(steps=0, obstacle=("InsufficientCapacity", "no A100 in eastus"))
        self.claims[manifest["metadata"]["name"]] = {
            **manifest,
            "status": seen["status"],
        }
        if self.at_once:
            self.claims.clear()

    def act(self) -> None:
        """Take away what has been there for a whole pass."""
        for name in self.seen & set(self.claims):
            del self.claims[name]
        self.seen = set(self.claims)


@pytest.mark.parametrize("at_once", [True, False])
def test_an_hour_without_capacity_costs_at_most_ten_tries(at_once: bool) -> None:  # noqa: FBT001
    asked, status = passes(StubbornCloud(at_once=at_once), 1, 3600, 7.3)
    assert 5 <= len(asked) <= 10
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(asked)]
    assert all(gap >= 24 for gap in gaps)
    attempt = status.node_attempts[0]
    assert attempt.attempt >= 5
    assert attempt.reason == ("NodeClaimGone" if at_once else "InsufficientCapacity")


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_claims_never_exceed_the_count_whatever_happens_to_them(data: st.DataObject) -> None:
    """Counts move, claims die or vanish, passes are killed before their status is written."""
    status = WorkspaceStatus()
    live: dict[str, Manifest] = {}
    now = T0
    highest = 0
    for _ in range(data.draw(st.integers(1, 12))):
        count = data.draw(st.integers(1, 3))
        made = workspace(status, count=count)
        snapshot = Snapshot.parse(node_claims=list(live.values()))
        plan = planned(made)
        wanted = desired_objects(made, plan, snapshot, SETTINGS, now)
        todo = changes(made, plan, wanted, snapshot, now)
        created = [each for each in todo.apply if each["kind"] == "NodeClaim"]
        assert len(live) + len(created) <= max(count, len(live))
        for manifest in created:
            live[manifest["metadata"]["name"]] = {**manifest, "status": claim(steps=1)["status"]}
        for reference in todo.delete:
            assert len(live) > count, "a claim that is wanted was deleted"
            live[reference.name]["metadata"]["deletionTimestamp"] = "2026-03-01T10:00:00Z"
        highest = max(highest, len(live))
        if data.draw(st.booleans()):
            status = report(made, plan, snapshot, now)
        vanishes = data.draw(st.booleans())
        if live and vanishes:
            live.pop(data.draw(st.sampled_from(sorted(live))))
        now += timedelta(seconds=data.draw(st.sampled_from([0.4, 3, 40, 1000])))
    assert highest <= 3
