"""A smaller count: the pod goes first, and then the machine that it was on."""

from typing import Any

from workspace_operator.objects.slots import Slots, slots
from workspace_operator.snapshot import Snapshot

from tests.builders import T0, Manifest, claim, planned, pod, running, workspace

MACHINES = (claim("old", ordinal=0, node="node-a"), claim("young", ordinal=1, node="node-b"))
MACHINES[0]["metadata"]["creationTimestamp"] = "2026-03-01T09:00:00Z"


def on(node: str, *, going: bool = False, phase: str = "Running") -> Manifest:
    made = pod(f"mistral-{node}", state=running(), ready=True, phase=phase)
    made["spec"]["nodeName"] = node
    if going:
        made["metadata"]["deletionTimestamp"] = "2026-03-01T10:05:00Z"
    return made


def seen(*pods: Manifest, written: int = 1, counted: int = 1, **facts: Any) -> Slots:  # noqa: ANN401 - as Snapshot
    made = workspace(count=1)
    deployment = {"spec": {"replicas": written}, "status": {"replicas": counted}}
    facts = {"node_claims": MACHINES, "deployment": deployment} | facts
    return slots(made, planned(made), Snapshot.parse(pods=pods, **facts), T0)


def given_back(found: Slots) -> list[str]:
    return [each.name for each in found.unwanted]


def test_no_machine_goes_before_kubernetes_has_chosen_a_pod() -> None:
    both = on("node-a"), on("node-b")
    assert given_back(seen(*both, written=2, counted=2)) == []
    assert given_back(seen(*both, written=1, counted=2)) == []
    assert given_back(seen(*both)) == [], "the pods may be told of later than the Deployment"


def test_the_machine_whose_pod_goes_is_given_back_also_the_older_one() -> None:
    assert given_back(seen(on("node-a", going=True), on("node-b"))) == ["old"]
    assert given_back(seen(on("node-a"), on("node-b", going=True))) == ["young"]
    assert given_back(seen(on("node-b"))) == ["old"]


def test_a_pod_that_has_ended_keeps_no_machine() -> None:
    assert given_back(seen(on("node-a", phase="Failed"), on("node-b"))) == ["old"]


def test_a_machine_without_a_pod_goes_while_the_others_wait() -> None:
    three = (*MACHINES, claim("empty", ordinal=2, node="node-c"))
    pods = on("node-a"), on("node-b")
    assert given_back(seen(*pods, written=2, counted=2, node_claims=three)) == ["empty"]


def test_without_a_deployment_nothing_is_waited_for() -> None:
    assert given_back(seen(on("node-a"), on("node-b"), deployment=None)) == ["young"]


def test_what_waits_to_go_still_counts() -> None:
    found = seen(on("node-a"), on("node-b"), written=2, counted=2)
    assert [slot.claim is not None for slot in found.slots] == [True]
