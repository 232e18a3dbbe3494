"""Which machine the next try asks for, and that falling back never asks more often."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from workspace_operator.api import WorkspaceStatus
from workspace_operator.changes import changes
from workspace_operator.objects import desired_objects
from workspace_operator.snapshot import Snapshot
from workspace_operator.status import report

from tests.builders import A100, SETTINGS, T0, Manifest, at, claim, planned, workspace

A10 = "Standard_NV36ads_A10_v5"
H100 = "Standard_NC40ads_H100_v5"
LISTED = {"atelier.dev/instance-types": f"{A10}, {H100}"}


def type_of(manifest: Manifest) -> str:
    (types,) = (
        each["values"]
        for each in manifest["spec"]["requirements"]
        if each["key"] == "node.kubernetes.io/instance-type"
    )
    return "|".join(types)


class Region:
    """Play Karpenter in a region: `stock` says which machines it has, all others are refused."""

    def __init__(self, *stock: str) -> None:
        self.stock = stock
        self.claims: dict[str, Manifest] = {}
        self.asked: list[tuple[datetime, str]] = []

    def create(self, manifest: Manifest, now: datetime) -> None:
        name, kind = manifest["metadata"]["name"], type_of(manifest)
        assert name not in self.claims
        assert all(name != known for known in self.claims)
        self.asked.append((now, kind))
        said = ("InsufficientCapacityError", f"no {kind} in zone 1")
        played = claim(steps=3) if kind in self.stock else claim(steps=0, obstacle=said)
        since = f"{now:%Y-%m-%dT%H:%M:%SZ}"
        for each in played["status"]["conditions"]:
            each["lastTransitionTime"] = since
        self.claims[name] = {**manifest, "status": played["status"]}

    def refuse(self) -> None:
        """Delete what cannot be had, as Karpenter does once the reason is written."""
        for name, manifest in list(self.claims.items()):
            if type_of(manifest) not in self.stock:
                del self.claims[name]


def live(
    region: Region,
    status: WorkspaceStatus,
    since: datetime,
    seconds: float,
    **facts: object,
) -> WorkspaceStatus:
    """Let the pure part of the operator work for some time, a pass every five seconds."""
    now = since
    while now < since + timedelta(seconds=seconds):
        made = workspace(status, **facts)
        plan = planned(made)
        snapshot = Snapshot.parse(node_claims=list(region.claims.values()))
        todo = changes(
            made, plan, desired_objects(made, plan, snapshot, SETTINGS, now), snapshot, now
        )
        for manifest in todo.apply:
            if manifest["kind"] == "NodeClaim":
                region.create(manifest, now)
        status = report(made, plan, snapshot, now)
        region.refuse() if snapshot.claims else None
        now += timedelta(seconds=5)
    return status


def test_each_refusal_moves_on_to_the_next_type_and_the_last_back_to_the_first() -> None:
    region = Region()
    status = live(region, WorkspaceStatus(), T0, 600, annotations=LISTED)
    assert [kind for _, kind in region.asked][:4] == [A100, A10, H100, A100]
    ready = status.condition("Ready")
    assert ready
    assert ready.reason == "InsufficientCapacityError"
    assert f"for {A100} or {A10} or {H100}: no " in ready.message
    assert f"with {status.node_attempts[0].instance_type}" in ready.message


def test_the_next_type_that_is_in_stock_is_taken_and_kept() -> None:
    region = Region(H100)
    status = live(region, WorkspaceStatus(), T0, 900, annotations=LISTED)
    assert [kind for _, kind in region.asked] == [A100, A10, H100]
    assert status.node_attempts[0].instance_type == H100
    assert status.node_attempts[0].failures == 0, "it has lasted for ten minutes"


def test_a_machine_that_was_there_and_is_lost_begins_with_the_best_again() -> None:
    region = Region(H100)
    status = live(region, WorkspaceStatus(), T0, 900, annotations=LISTED)
    region.claims.clear()
    region.stock = (A100,)
    status = live(region, status, at(900), 120, annotations=LISTED)
    assert [kind for _, kind in region.asked][3:] == [A100]
    assert len(region.claims) == 1


@pytest.mark.parametrize("annotations", [{}, LISTED])
def test_an_hour_without_capacity_costs_at_most_ten_claims(annotations: dict[str, str]) -> None:
    region = Region()
    live(region, WorkspaceStatus(), T0, 3600, annotations=annotations)
    assert 5 <= len(region.asked) <= 10
    gaps = [
        (later - earlier).total_seconds() for (earlier, _), (later, _) in pairwise(region.asked)
    ]
    assert all(gap >= 24 for gap in gaps)


def test_a_machine_that_comes_and_goes_is_asked_for_ever_more_seldom() -> None:
    """Ready for a moment is no reason to forget the failures before."""
    region = Region(A100)
    status, now = WorkspaceStatus(), 0
    while now < 3600:
        status = live(region, status, at(now), 60)
        region.claims.clear()
        now += 60
    assert len(region.asked) <= 10


def test_a_list_that_is_taken_away_leaves_the_named_type() -> None:
    region = Region()
    status = live(region, WorkspaceStatus(), T0, 100, annotations=LISTED)
    live(region, status, at(100), 300)
    assert region.asked[-1][1] == A100
