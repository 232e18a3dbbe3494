"""
The local machine provider: what it decides (tables), and what it says (Karpenter's words).

The last tests run it in a real cluster; see test_node_pods.py for a pod on such a node.
"""

import copy
import json
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import machine as machines
from tests.cluster import machine_provider, node_cluster
from tests.cluster.instance_types import InstanceType
from tests.cluster.node_claims import (
    FINALIZER,
    GPU,
    UNREGISTERED,
    Step,
    View,
    choose,
    conditions,
    decide,
    machine_labels,
    registration_patch,
)
from tests.cluster.node_cluster import NodeCluster
from tests.cluster.processes import Process

SMALL = InstanceType(name="small", cpus=4, memory_gib=16, gpus=1, dollars_per_hour=1.0)
LARGE = InstanceType(name="large", cpus=96, memory_gib=880, gpus=4, dollars_per_hour=9.0)
TYPES = (LARGE, SMALL)
NOW = "2026-11-21T08:00:00Z"
BEFORE = "2026-11-21T07:00:00Z"
GPU_TAINT = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}


def claim(*met: str, types: tuple[str, ...] = ("small",), gpus: int = 1) -> dict[str, Any]:
    """A claim that is held, and on which these conditions are true."""
    requirement = {"key": "node.kubernetes.io/instance-type", "operator": "In"}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {
            "name": "ws1",
            "generation": 3,
            "finalizers": [FINALIZER],
            "labels": {"apps": "mistral"},
            "annotations": {"karpenter.sh/do-not-disrupt": "true"},
        },
        "spec": {
            "requirements": [requirement | {"values": list(types)}] if types else [],
            "taints": [GPU_TAINT],
            "resources": {"requests": {"storage": "93Gi", GPU: str(gpus)}},
        },
        "status": {"conditions": [condition(kind) for kind in met]},
    }


def condition(kind: str, status: str = "True") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": kind,
        "message": "",
        "lastTransitionTime": BEFORE,
        "observedGeneration": 1,
    }


def node(*, ready: bool = True, gpus: int = 1, taints: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "metadata": {"name": "ws1", "resourceVersion": "7"},
        "spec": {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]},
        "status": {
            "allocatable": {GPU: str(gpus)} if gpus else {},
            "conditions": [condition("Ready", "True" if ready else "False")],
        },
    }


def deleted(manifest: Mapping[str, Any], *, held: bool) -> dict[str, Any]:
    gone = copy.deepcopy(dict(manifest))
    gone["metadata"]["deletionTimestamp"] = NOW
    gone["metadata"]["finalizers"] = [FINALIZER] if held else ["example.com/other"]
    return gone


def unheld() -> dict[str, Any]:
    fresh = claim()
    del fresh["metadata"]["finalizers"]
    return fresh


ALL = ("Launched", "Registered", "Initialized")


@pytest.mark.parametrize(
    ("claimed", "found", "runs", "step", "reason"),
    [
        (unheld(), None, False, Step.ADOPT, ""),
        (claim(), None, False, Step.LAUNCH, ""),
        (claim(types=("h100",)), None, False, Step.REFUSE, "InsufficientCapacityError"),
        (claim("Launched"), None, False, Step.BOOT, ""),
        (claim("Launched"), None, True, Step.WAIT, "NodeNotFound"),
        (claim("Launched"), node(), True, Step.REGISTER, ""),
        (claim(*ALL[:2]), node(gpus=0), True, Step.ADVERTISE, ""),
        (claim(*ALL[:2]), node(ready=False), True, Step.WAIT, "NodeNotReady"),
        (
            claim(*ALL[:2]),
            node(taints=("node.kubernetes.io/not-ready",)),
            True,
            Step.WAIT,
            "KnownEphemeralTaintsExist",
        ),
        (claim(*ALL[:2]), node(taints=("sku",)), True, Step.INITIALIZE, ""),
        (claim(*ALL[:2]), None, True, Step.WAIT, "NodeNotFound"),
        (claim(*ALL), node(), True, Step.NOTHING, ""),
        (claim(*ALL), None, False, Step.NOTHING, ""),  # a machine that died is not replaced
        (claim(*ALL), node(gpus=0), True, Step.ADVERTISE, ""),  # its kubelet was restarted
        (deleted(claim(*ALL), held=True), node(), True, Step.TERMINATE, ""),
        (deleted(claim(), held=True), None, False, Step.TERMINATE, ""),
        (deleted(claim(), held=False), None, False, Step.NOTHING, ""),
    ],
)
def test_each_state_has_one_next_step(
    claimed: dict[str, Any],
    found: dict[str, Any] | None,
    runs: bool,  # noqa: FBT001 - a column of the table
    step: Step,
    reason: str,
) -> None:
    offer = choose(claimed, TYPES)
    decision = decide(View(claim=claimed, offer=offer, node=found, machine_runs=runs))
    assert (decision.step, decision.reason) == (step, reason)


@pytest.mark.parametrize(
    ("types", "gpus", "chosen"),
    [
        (("small",), 1, "small"),
        (("large", "small"), 1, "small"),
        (("large", "small"), 2, "large"),
        ((), 1, "small"),
        ((), 4, "large"),
        (("small",), 2, None),
        (("h100",), 1, None),
        ((), 8, None),
    ],
)
def test_the_cheapest_machine_that_fits_is_chosen(
    types: tuple[str, ...], gpus: int, chosen: str | None
) -> None:
    offer = choose(claim(types=types, gpus=gpus), TYPES)
    assert (offer.instance_type.name if offer.instance_type else None) == chosen


def test_a_refusal_names_what_was_asked_for_and_what_there_is() -> None:
    refusal = choose(claim(types=("h100", "h200"), gpus=1), TYPES).refusal
    assert refusal.startswith("insufficient capacity, no instance type h100 or h200")
    assert "small, large" in refusal


def states(written: list[Any]) -> dict[str, str]:
    return {each["type"]: each["status"] for each in written}


def test_a_new_claim_is_unknown_in_everything() -> None:
    written = conditions(claim(), {}, NOW)
    assert states(written) == dict.fromkeys([*ALL, "Ready"], "Unknown")
    assert {each["reason"] for each in written} == {
        "AwaitingReconciliation",
        "ReconcilingDependents",
    }


def test_ready_is_the_sum_and_comes_with_the_last_one() -> None:
    true = ("True", "Initialized", "")
    written = conditions(claim(*ALL[:2]), {"Initialized": true}, NOW)
    assert states(written) == dict.fromkeys([*ALL, "Ready"], "True")


def test_a_failed_launch_makes_the_claim_not_ready() -> None:
    false = ("False", "InsufficientCapacityError", "insufficient capacity, ...")
    (ready,) = (
        each for each in conditions(claim(), {"Launched": false}, NOW) if each["type"] == "Ready"
    )
    assert (ready["status"], ready["reason"]) == ("False", "UnhealthyDependents")
    assert ready["message"] == "Launched=False, Registered=Unknown, Initialized=Unknown"


def test_a_transition_time_moves_with_the_status_and_only_then() -> None:
    written = conditions(claim("Launched"), {"Registered": ("True", "Registered", "")}, NOW)
    times = {each["type"]: each["lastTransitionTime"] for each in written}
    assert times["Launched"] == BEFORE
    assert times["Registered"] == NOW
    assert {each["observedGeneration"] for each in written} == {3}


def test_conditions_of_others_are_kept() -> None:
    written = conditions(claim("Launched", "Drifted"), {}, NOW)
    assert states(written)["Drifted"] == "True"


def test_registration_gives_the_node_the_claims_labels_and_taints_once() -> None:
    found = node()
    found["spec"]["taints"] = [UNREGISTERED, GPU_TAINT, {"key": "own", "effect": "NoSchedule"}]
    patch = registration_patch(claim("Launched"), found)
    assert patch["metadata"]["labels"]["apps"] == "mistral"
    assert patch["metadata"]["labels"]["karpenter.sh/registered"] == "true"
    assert patch["metadata"]["resourceVersion"] == "7"
    assert [taint["key"] for taint in patch["spec"]["taints"]] == ["own", "sku"]


def test_what_the_claim_says_about_its_node_wins() -> None:
    claimed = claim()
    claimed["metadata"]["labels"]["topology.kubernetes.io/zone"] = "mine"
    labels = machine_labels(claimed, SMALL)
    assert labels["topology.kubernetes.io/zone"] == "mine"
    assert labels["node.kubernetes.io/instance-type"] == "small"


def test_one_event_is_one_line_without_empty_fields(capsys: pytest.CaptureFixture[str]) -> None:
    machine_provider.log("ws1", "booted", seconds=0.0, reason="", error=None)
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"time", "name", "event", "seconds"}


def test_a_cluster_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert machine_provider.main(["--name", "nowhere"]) == 1
    assert "'nowhere'" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["kind", "control-plane"])
def test_a_cluster_whose_nodes_are_not_ours_is_refused(
    size: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path))
    folder = tmp_path / "clusters" / "other"
    folder.mkdir(parents=True)
    described = {"size": size, "owner_pid": None, "owner_identity": None}
    (folder / "cluster.json").write_text(json.dumps(described))
    assert machine_provider.main(["--name", "other"]) == 1
    assert f"is of size {size}" in capsys.readouterr().err


@pytest.fixture(scope="module")
def cluster() -> Iterator[NodeCluster]:
    with node_cluster.node_cluster(f"test-{os.getpid()}-provider") as running:
        yield running


def real_claim(name: str, instance_type: str) -> dict[str, Any]:
    made = claim(types=(instance_type,))
    made["metadata"] = {"name": name, "labels": {"apps": "mistral"}}
    made["spec"]["nodeClassRef"] = {"group": "kaito.sh", "kind": "KaitoNodeClass", "name": "x"}
    del made["status"]
    return made


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_a_claim_that_cannot_be_had_is_deleted_and_an_event_says_why(cluster: NodeCluster) -> None:
    plane = cluster.plane
    plane.apply(real_claim("wsnone", "Standard_Nowhere"))
    plane.kubectl("wait", "nodeclaim/wsnone", "--for=delete", "--timeout=45s")
    selector = "--field-selector=involvedObject.name=wsnone"
    (event,) = plane.read("get", "events", selector)["items"]
    assert event["reason"] == "InsufficientCapacityError"
    assert "Standard_Nowhere" in event["message"]


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_a_provider_that_was_killed_goes_on_where_it_was(cluster: NodeCluster) -> None:
    plane = cluster.plane
    provider = Process(directory=cluster.directory, name="machine-provider")
    plane.apply(real_claim("wsagain", "Standard_NC24ads_A100_v4"))
    plane.kubectl("wait", "nodeclaim/wsagain", "--for=condition=Launched", "--timeout=45s")
    assert provider.signal(signal.SIGKILL)
    provider.restart()
    plane.kubectl("wait", "nodeclaim/wsagain", "--for=condition=Ready", "--timeout=45s")
    provider.kill()
    plane.kubectl("delete", "nodeclaim", "wsagain", "--wait=false")
    provider.restart()
    plane.kubectl("wait", "nodeclaim/wsagain", "--for=delete", "--timeout=45s")
    assert [machine.name for machine in machines.machines(cluster.directory)] == ["system"]
