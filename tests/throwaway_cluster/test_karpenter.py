"""The real Karpenter takes the claims that the operator will write."""

import copy
import uuid
from typing import Any

import pytest

from tests.cluster import ControlPlane, karpenter_crds, make_node_ready, node_of_claim
from tests.cluster.instance_types import GPU_INSTANCE_TYPES

pytestmark = pytest.mark.apiserver

# A claim as KAITO writes it for its Mistral example, with the node class of the kwok provider, and
# with the GPU among the requests, without which Initialized does not wait for it.
CLAIM: dict[str, Any] = {
    "apiVersion": "karpenter.sh/v1",
    "kind": "NodeClaim",
    "metadata": {
        "labels": {
            "karpenter.sh/nodepool": "kaito",
            "kaito.sh/workspace": "mistral",
            "kaito.sh/workspacenamespace": "default",
            "apps": "mistral",
        },
        "annotations": {
            "karpenter.sh/do-not-disrupt": "true",
            "kaito.sh/node-image-family": "ubuntu",
        },
    },
    "spec": {
        "nodeClassRef": {
            "group": "karpenter.kwok.sh",
            "kind": "KWOKNodeClass",
            "name": "default",
        },
        "requirements": [
            {"key": "karpenter.sh/nodepool", "operator": "In", "values": ["kaito"]},
            {
                "key": "node.kubernetes.io/instance-type",
                "operator": "In",
                "values": ["Standard_NC24ads_A100_v4"],
            },
            {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
        ],
        "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
        "resources": {"requests": {"storage": "93Gi", "nvidia.com/gpu": "1"}},
        "expireAfter": "Never",
    },
}


def apply_claim(
    plane: ControlPlane,
    *,
    instance_type: str = "Standard_NC24ads_A100_v4",
    node_class: str = "default",
) -> str:
    name = f"ws{uuid.uuid4().hex[:9]}"
    claim = copy.deepcopy(CLAIM)
    claim["metadata"]["name"] = name
    claim["spec"]["requirements"][1]["values"] = [instance_type]
    claim["spec"]["nodeClassRef"]["name"] = node_class
    plane.apply(claim)
    return name


def wait_for(plane: ControlPlane, claim: str, expression: str) -> None:
    plane.kubectl("wait", f"nodeclaim/{claim}", f"--for={expression}", "--timeout=40s")


def condition(plane: ControlPlane, claim: str, kind: str) -> dict[str, str]:
    conditions = plane.read("get", "nodeclaim", claim)["status"]["conditions"]
    return next(each for each in conditions if each["type"] == kind)


def test_a_claim_gets_a_node_and_its_deletion_takes_the_node_away(
    karpenter_control_plane: ControlPlane,
) -> None:
    plane = karpenter_control_plane
    claim = apply_claim(plane)
    wait_for(plane, claim, "condition=Launched")
    wait_for(plane, claim, "condition=Registered")
    node = node_of_claim(plane, claim)
    assert node is not None
    described = plane.read("get", "node", node)
    assert described["metadata"]["labels"]["apps"] == "mistral"
    assert {"key": "sku", "value": "gpu", "effect": "NoSchedule"} in described["spec"]["taints"]

    make_node_ready(plane, node, gpus=1)
    wait_for(plane, claim, "condition=Initialized")
    wait_for(plane, claim, "condition=Ready")

    plane.kubectl("delete", "nodeclaim", claim, "--timeout=40s")
    assert plane.kubectl("get", "node", node, check=False).returncode != 0


def test_a_ready_node_without_its_gpu_is_not_initialized(
    karpenter_control_plane: ControlPlane,
) -> None:
    plane = karpenter_control_plane
    claim = apply_claim(plane)
    wait_for(plane, claim, "condition=Registered")
    node = node_of_claim(plane, claim)
    assert node is not None
    make_node_ready(plane, node, gpus=0)
    reason = "jsonpath={.status.conditions[?(@.type=='Initialized')].reason}=ResourceNotRegistered"
    wait_for(plane, claim, reason)
    assert "nvidia.com/gpu" in condition(plane, claim, "Initialized")["message"]
    make_node_ready(plane, node, gpus=1)
    wait_for(plane, claim, "condition=Initialized")


def test_every_instance_type_on_offer_can_be_launched(
    karpenter_control_plane: ControlPlane,
) -> None:
    plane = karpenter_control_plane
    offered = [each.name for each in GPU_INSTANCE_TYPES]
    claims = [apply_claim(plane, instance_type=name) for name in offered]
    for claim in claims:
        wait_for(plane, claim, "condition=Registered")
    nodes = plane.read("get", "nodes", "-l", "kaito.sh/workspace=mistral")["items"]
    launched = {
        node["metadata"]["labels"]["node.kubernetes.io/instance-type"]: node["status"]
        for node in nodes
    }
    for each in GPU_INSTANCE_TYPES:
        assert launched[each.name]["allocatable"]["nvidia.com/gpu"] == str(each.gpus)


def test_an_instance_type_that_is_not_on_offer_is_named_in_the_claim(
    karpenter_control_plane: ControlPlane,
) -> None:
    plane = karpenter_control_plane
    claim = apply_claim(plane, instance_type="Standard_Nowhere")
    failed = "jsonpath={.status.conditions[?(@.type=='Launched')].reason}=LaunchFailed"
    wait_for(plane, claim, failed)
    assert "Standard_Nowhere" in condition(plane, claim, "Launched")["message"]


def test_a_claim_without_capacity_is_deleted_and_an_event_says_why(
    karpenter_control_plane: ControlPlane,
) -> None:
    plane = karpenter_control_plane
    claim = apply_claim(plane, node_class="absent")
    gone = plane.kubectl("wait", f"nodeclaim/{claim}", "--for=delete", "--timeout=40s", check=False)
    assert gone.returncode == 0, gone.stderr
    events = plane.read("get", "events", "--field-selector", f"involvedObject.name={claim}")
    reasons = {event["reason"] for event in events["items"]}
    assert "InsufficientCapacityError" in reasons


def test_the_definitions_are_those_of_claims_pools_and_the_node_class() -> None:
    assert {path.name for path in karpenter_crds()} >= {
        "karpenter.sh_nodeclaims.yaml",
        "karpenter.sh_nodepools.yaml",
        "karpenter.kwok.sh_kwoknodeclasses.yaml",
    }
