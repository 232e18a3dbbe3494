"""Parsing what the cluster holds: never an error, never an invention."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workspace_operator.snapshot import ModelAnswer, Node, NodeClaim, Pod, Snapshot
from workspace_operator.snapshot.reading import integer, mappings, moment, section

from tests.builders import (
    A100,
    at,
    claim,
    condition,
    ended,
    node,
    pod,
    running,
    waiting,
)

KEYS = st.sampled_from(
    [
        *("metadata", "status", "spec", "conditions", "labels", "type", "taints", "name"),
        *("containers", "containerStatuses", "state", "terminated", "waiting"),
        *("allocatable", "requirements", "values", "nvidia.com/gpu"),
    ]
)
WORDS = st.sampled_from(["", "True", "1", "Ready", "2026-03-01T10:00:00Z", "\x00"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), JSON, max_size=3)


@given(st.lists(OBJECTS, max_size=3), OBJECTS)
def test_any_json_object_is_parsed(objects: list[dict[str, Any]], one: dict[str, Any]) -> None:
    snapshot = Snapshot.parse(
        node_claims=objects, nodes=objects, pods=objects, deployment=one, service=one
    )
    assert len(snapshot.claims) == len(snapshot.pods) == len(snapshot.nodes) == len(objects)
    for each in snapshot.pods:
        assert not each.image_pulled or each.running or each.last_end
    for each_claim in snapshot.claims:
        assert each_claim.ready or each_claim.obstacle or each_claim.conditions


def test_a_claim_says_how_far_it_is() -> None:
    parsed = NodeClaim.parse(claim(steps=1, obstacle=("NodeNotFound", "not there yet")))
    assert not parsed.ready
    assert parsed.obstacle
    assert (parsed.obstacle.type, parsed.obstacle.reason) == ("Registered", "NodeNotFound")
    assert parsed.conditions["Launched"].since == at(30)
    assert parsed.instance_type == A100
    assert NodeClaim.parse(claim()).ready
    assert NodeClaim.parse({}).obstacle is not None
    assert NodeClaim.parse({}).obstacle.type == "Launched"  # type: ignore[union-attr]  # just asserted


def test_a_claim_without_the_sum_is_ready_when_every_step_is() -> None:
    manifest = claim()
    manifest["status"]["conditions"] = [
        each for each in manifest["status"]["conditions"] if each["type"] != "Ready"
    ]
    assert NodeClaim.parse(manifest).ready


def test_a_label_names_the_machine_that_was_found() -> None:
    manifest = claim()
    manifest["metadata"]["labels"]["node.kubernetes.io/instance-type"] = "found"
    assert NodeClaim.parse(manifest).instance_type == "found"


@pytest.mark.parametrize(
    ("manifest", "gpus", "ready"),
    [
        (node(gpus=4), 4, True),
        (node(gpus=0), 0, True),
        (node(ready=False), 1, False),
        ({}, 0, False),
        (
            {**node(), "metadata": {"name": "n", "deletionTimestamp": "2026-03-01T10:00:00Z"}},
            1,
            False,
        ),
    ],
)
def test_a_node_shows_gpus_and_readiness(manifest: dict[str, Any], gpus: int, ready: bool) -> None:  # noqa: FBT001 - a table
    parsed = Node.parse(manifest)
    assert (parsed.gpus, parsed.ready) == (gpus, ready)


def test_a_node_names_its_pressures_and_taints() -> None:
    manifest = node(pressure="DiskPressure")
    manifest["spec"] = {
        "unschedulable": True,
        "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
    }
    parsed = Node.parse(manifest)
    assert parsed.pressures == ("DiskPressure",)
    assert parsed.taints == ("sku=gpu:NoSchedule",)
    assert parsed.unschedulable


def test_a_pod_tells_how_its_container_ended_last_time() -> None:
    parsed = Pod.parse(
        pod(state=waiting("CrashLoopBackOff"), last=ended(1, message="bad weights\n"), restarts=3)
    )
    assert parsed.last_end
    assert (parsed.last_end.exit_code, parsed.last_end.message) == (1, "bad weights")
    assert parsed.restarts == 3
    assert parsed.image_pulled
    assert not parsed.running


def test_a_running_pod_has_a_start() -> None:
    parsed = Pod.parse(pod(state=running(260), ready=True))
    assert parsed.started == at(260)
    assert parsed.ready
    assert parsed.node == "node-1"


def test_the_server_is_the_first_container_of_the_spec() -> None:
    manifest = pod(state=running())
    sidecar = {"name": "injected", "state": waiting("ImagePullBackOff"), "restartCount": 9}
    manifest["status"]["containerStatuses"].insert(0, sidecar)
    parsed = Pod.parse(manifest)
    assert parsed.running
    assert parsed.restarts == 0


def test_an_init_container_that_cannot_start_is_what_the_pod_waits_for() -> None:
    manifest = pod(state={})
    manifest["status"]["initContainerStatuses"] = [{"state": waiting("ErrImagePull", "no such")}]
    assert Pod.parse(manifest).waiting_reason == "ErrImagePull"


def test_things_are_ordered_oldest_first_and_dying_pods_are_not_current() -> None:
    young, old = pod("young"), pod("old")
    young["metadata"]["creationTimestamp"] = "2026-03-02T10:00:00Z"
    old["metadata"]["deletionTimestamp"] = "2026-03-02T10:00:00Z"
    snapshot = Snapshot.parse(pods=[young, old], answers={"young": ModelAnswer(ready=True)})
    assert [each.name for each in snapshot.pods] == ["old", "young"]
    assert [each.name for each in snapshot.current_pods] == ["young"]
    assert snapshot.answers["young"].ready


@pytest.mark.parametrize(
    ("value", "number"),
    [("1", 1), (2, 2), (True, 0), ("1k", 0), (None, 0), ("²", 0), (1.5, 0)],
)
def test_integers(value: object, number: int) -> None:
    assert integer(value) == number


def test_reading_of_odd_values() -> None:
    assert moment("yesterday") is None
    assert moment(7) is None
    assert moment("2026-03-01T10:00:00") == at(0)
    assert moment("2026-03-01T11:00:00+01:00") == at(0)
    assert section({"a": {"b": 1}}, "a", "b") == {}
    assert mappings([1, {"x": 1}]) == ({"x": 1},)
    assert condition("A")["type"] == "A"
