"""A machine that is of no use is given back once, and never in a loop."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workspace_operator.api import GpuFailure, NodeAttempt, WorkspaceStatus
from workspace_operator.changes import changes
from workspace_operator.objects import desired_objects
from workspace_operator.objects.watchdog import gpu_failures
from workspace_operator.snapshot import Snapshot
from workspace_operator.status import report

from tests.builders import (
    SETTINGS,
    T0,
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

HOUR = 3600


class Machines:
    """Play a cloud that always has a machine, and one way in which each of them is broken."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.claims: dict[str, Manifest] = {}
        self.nodes: dict[str, Manifest] = {}
        self.bought = 0

    def create(self, manifest: Manifest, seconds: float) -> None:
        name = manifest["metadata"]["name"]
        steps = 2 if self.fault == "no GPU" else 3
        played = claim(steps=steps, obstacle=("ResourceNotRegistered", "nvidia.com/gpu"), node=name)
        for each in played["status"]["conditions"]:
            each["lastTransitionTime"] = stamp(seconds)
        self.claims[name] = {**manifest, "status": played["status"]}
        self.nodes[name] = node(
            name, gpus=0 if self.fault == "no GPU" else 1, ready=self.fault != "down", since=seconds
        )
        self.bought += 1

    def delete(self, name: str) -> None:
        del self.claims[name], self.nodes[name]

    def pods(self, seconds: float) -> list[Manifest]:
        """Return a pod whose server loses the GPU every two minutes."""
        if self.fault != "bad GPU":
            return []
        last = ended(71) | {"finishedAt": stamp(seconds // 120 * 120)}
        return [
            pod(f"on-{name}", state=running(), last=last, restarts=3)
            | {"spec": {"containers": [{"name": "mistral"}], "nodeName": name}}
            for name in self.nodes
        ]


def live(machines: Machines, seconds: float, step: float = 30) -> WorkspaceStatus:
    status = WorkspaceStatus()
    now = 0.0
    while now <= seconds:
        made = workspace(status)
        plan = planned(made)
        snapshot = Snapshot.parse(
            node_claims=list(machines.claims.values()),
            nodes=list(machines.nodes.values()),
            pods=machines.pods(now),
        )
        wanted = desired_objects(made, plan, snapshot, SETTINGS, at(now))
        todo = changes(made, plan, wanted, snapshot, at(now))
        for manifest in todo.apply:
            if manifest["kind"] == "NodeClaim":
                machines.create(manifest, now)
        for gone in todo.delete:
            machines.delete(gone.name)
        assert len(machines.claims) <= 1, "a broken machine and its successor at once"
        status = report(made, plan, snapshot, at(now))
        now += step
    return status


@pytest.mark.parametrize(
    ("fault", "word"),
    [("no GPU", "GPUNotVisible"), ("down", "NodeNotReady"), ("bad GPU", "GPUUnhealthy")],
)
def test_a_broken_machine_is_replaced_once_and_the_second_one_is_kept_and_explained(
    fault: str, word: str
) -> None:
    machines = Machines(fault)
    status = live(machines, HOUR)
    assert machines.bought == 2
    ready = status.condition("Ready")
    whole = status.condition("WorkspaceSucceeded")
    assert ready
    assert whole
    assert ready.reason == word
    assert whole.reason == "workspaceFailed"
    assert len(status.node_attempts[0].given_back) == 1


@pytest.mark.parametrize(("fault", "minutes"), [("no GPU", 10), ("down", 5), ("bad GPU", 4)])
def test_patience_is_as_long_as_promised(fault: str, minutes: int) -> None:
    patient, done = Machines(fault), Machines(fault)
    live(patient, minutes * 60)
    assert patient.bought == 1
    live(done, minutes * 60 + 90)
    assert done.bought == 2


def test_a_machine_that_works_is_left_alone() -> None:
    machines = Machines("none")
    status = live(machines, 3 * HOUR)
    assert machines.bought == 1
    assert status.node_attempts[0].given_back == ()


def test_an_hour_of_health_makes_it_another_story() -> None:
    before = WorkspaceStatus(
        node_attempts=(
            NodeAttempt(ordinal=0, attempt=1, claim="b", given_back=("a",), ready_at=at(0)),
        )
    )
    made = workspace(before)
    snapshot = Snapshot.parse(node_claims=[claim("b")], nodes=[node()])
    soon = report(made, planned(made), snapshot, at(HOUR - 1)).node_attempts[0]
    later = report(made, planned(made), snapshot, at(HOUR)).node_attempts[0]
    assert (soon.given_back, later.given_back) == (("a",), ())


def test_a_device_plugin_that_restarts_costs_no_machine() -> None:
    """The GPU was there: the claim is Ready, and Karpenter does not take that back."""
    made = workspace()
    snapshot = Snapshot.parse(node_claims=[claim()], nodes=[node(gpus=0)])
    todo = changes(made, planned(made), (), snapshot, at(HOUR))
    assert todo.delete == ()


def test_gpu_failures_are_counted_once_and_forgotten_after_a_quarter_of_an_hour() -> None:
    lost = pod(state=running(), last=ended(71) | {"finishedAt": stamp(100)}, restarts=1)
    snapshot = Snapshot.parse(pods=[lost, pod("other", last=ended(70))])
    first = gpu_failures(WorkspaceStatus(), snapshot, at(200))
    assert first == (GpuFailure(node="node-1", time=at(100)),)
    assert gpu_failures(WorkspaceStatus(gpu_failures=first), snapshot, at(900)) == first
    assert gpu_failures(WorkspaceStatus(gpu_failures=first), Snapshot(), at(1001)) == ()


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_whatever_breaks_machines_are_not_bought_in_a_loop(data: st.DataObject) -> None:
    """Faults come and go for an hour, and one machine is replaced."""
    status = WorkspaceStatus()
    machines = Machines("none")
    now = T0
    for _ in range(60):
        machines.fault = data.draw(st.sampled_from(["no GPU", "down", "none"]))
        seconds = (now - T0).total_seconds()
        made = workspace(status)
        plan = planned(made)
        snapshot = Snapshot.parse(
            node_claims=list(machines.claims.values()), nodes=list(machines.nodes.values())
        )
        todo = changes(
            made, plan, desired_objects(made, plan, snapshot, SETTINGS, now), snapshot, now
        )
        for manifest in todo.apply:
            if manifest["kind"] == "NodeClaim":
                machines.create(manifest, seconds)
        for gone in todo.delete:
            machines.delete(gone.name)
        status = report(made, plan, snapshot, now)
        now += timedelta(seconds=60)
    assert machines.bought <= 2


def test_a_replacement_after_a_gpu_that_never_came_asks_for_the_next_type() -> None:
    listed = {"atelier.dev/instance-types": "Standard_NV36ads_A10_v5"}
    record: dict[str, Any] = {
        "ordinal": 0,
        "attempt": 0,
        "claim": "gone",
        "instance_type": "Standard_NC24ads_A100_v4",
        "given_back": ("gone",),
        "time": at(0),
    }
    made = workspace(WorkspaceStatus(node_attempts=(NodeAttempt(**record),)), annotations=listed)
    plan = planned(made)
    (asked, *_) = desired_objects(made, plan, Snapshot(), SETTINGS, at(700))
    types = [
        each["values"]
        for each in asked["spec"]["requirements"]
        if each["key"] == "node.kubernetes.io/instance-type"
    ]
    assert types == [["Standard_NV36ads_A10_v5"]]
