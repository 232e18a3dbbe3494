"""
One manifest in, one answer out, on a real kubelet: and a closer look at what is in between.

The tests run in this order on one cluster; the last one takes the Workspace away.
"""

import time
from typing import Any

import pytest

from tests.demo.asking import chat, forwarded
from tests.demo.line import OPERATOR_NAMESPACE, WORKSPACE, Outcome
from tests.demo.watching import condition

# The first test that asks for the outcome builds images and starts a cluster.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]

GONE_SECONDS = 120


def pod_of(outcome: Outcome) -> dict[str, Any]:
    selector = f"kaito.sh/workspace={WORKSPACE}"
    pods: list[dict[str, Any]] = outcome.cluster.plane.read("get", "pods", "-l", selector)["items"]
    assert len(pods) == 1
    return pods[0]


def workspace_of(outcome: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = outcome.cluster.plane.read("get", "workspace", WORKSPACE)
    return found


def test_the_model_answered(outcome: Outcome) -> None:
    assert outcome.answer.body["object"] == "chat.completion"
    assert outcome.answer.body["usage"]["completion_tokens"] > 0
    assert outcome.answer.text


def test_the_same_question_has_the_same_answer(outcome: Outcome) -> None:
    with forwarded(outcome.cluster.plane, WORKSPACE) as url:
        first, second = (chat(url, WORKSPACE, "Who are you?", max_tokens=16) for _ in range(2))
    assert first.text == second.text


def test_every_condition_holds_and_speaks_of_this_generation(outcome: Outcome) -> None:
    workspace = workspace_of(outcome)
    status = workspace["status"]
    for kind in ("ResourceReady", "InferenceReady", "WorkspaceSucceeded"):
        held = condition(status, kind)
        assert held["status"] == "True", held
        assert held["observedGeneration"] == workspace["metadata"]["generation"]
    assert status["state"] == "Ready"
    assert status["model"]["name"] == WORKSPACE
    assert status["model"]["digest"].startswith("sha256:")


def test_the_ledger_accounts_for_the_whole_wait(outcome: Outcome) -> None:
    ledger = dict(workspace_of(outcome)["status"]["startup"])
    total = ledger.pop("total")
    assert set(ledger) == {
        "nodeLaunched",
        "nodeRegistered",
        "gpuVisible",
        "imagePulled",
        "weightsLoaded",
        "firstToken",
    }
    assert sum(ledger.values()) == pytest.approx(total, abs=0.5)


def test_the_pod_runs_on_the_node_that_the_claim_brought(outcome: Outcome) -> None:
    plane = outcome.cluster.plane
    claims = plane.read("get", "nodeclaims")["items"]
    assert [claim["metadata"]["labels"]["kaito.sh/workspace"] for claim in claims] == [WORKSPACE]
    node = claims[0]["status"]["nodeName"]
    assert pod_of(outcome)["spec"]["nodeName"] == node
    assert node != "system"
    assert workspace_of(outcome)["status"]["workerNodes"] == [node]


def test_the_pod_is_restricted_and_its_root_cannot_be_written(outcome: Outcome) -> None:
    plane, pod = outcome.cluster.plane, pod_of(outcome)
    name = pod["metadata"]["name"]
    assert plane.kubectl("exec", name, "--", "id", "-u").stdout.strip() != "0"
    refused = plane.kubectl("exec", name, "--", "touch", "/canary", check=False)
    assert "Read-only file system" in refused.stderr
    plane.kubectl("label", "namespace", "default", "pod-security.kubernetes.io/enforce=restricted")
    spec = {key: pod["spec"][key] for key in ("containers", "volumes", "securityContext")}
    spec["automountServiceAccountToken"] = False
    copy = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "copy"}, "spec": spec}
    plane.apply(copy)  # refused unless the pod is restricted
    plane.kubectl("delete", "pod", "copy", "--wait=false", "--grace-period=0", "--force")


def test_the_operator_runs_as_an_ordinary_user(outcome: Outcome) -> None:
    pods = outcome.cluster.plane.read("get", "pods", "-n", OPERATOR_NAMESPACE)["items"]
    assert len(pods) == 1
    assert pods[0]["status"]["containerStatuses"][0]["restartCount"] == 0
    assert pods[0]["spec"]["securityContext"]["runAsNonRoot"] is True


def test_deleting_the_workspace_leaves_no_node_and_no_workload(outcome: Outcome) -> None:
    plane = outcome.cluster.plane
    plane.kubectl("delete", "workspace", WORKSPACE, f"--timeout={GONE_SECONDS}s")
    for kind in ("nodeclaims", "deployments", "services"):
        names = [each["metadata"]["name"] for each in plane.read("get", kind)["items"]]
        assert [name for name in names if name != "kubernetes"] == []
    deadline = time.monotonic() + GONE_SECONDS
    while len(nodes := plane.read("get", "nodes")["items"]) > 1:
        assert time.monotonic() < deadline, nodes
        plane.kubectl("wait", "--for=delete", "node", "-l", "kaito.sh/workspace", "--timeout=10s")
