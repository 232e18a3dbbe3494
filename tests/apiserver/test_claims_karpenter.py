"""The pure core reads what the real Karpenter writes about the claims that it makes."""

import uuid
from dataclasses import replace

import pytest
from workspace_operator.api import Workspace, WorkspaceStatus
from workspace_operator.objects import desired_objects
from workspace_operator.plan import plan
from workspace_operator.settings import Cloud
from workspace_operator.snapshot import Snapshot
from workspace_operator.status import report

from tests.builders import A100, MISTRAL_7B, SETTINGS, at, workspace
from tests.cluster import ControlPlane, make_node_ready

pytestmark = pytest.mark.apiserver

KWOK = replace(SETTINGS, cloud=Cloud.KWOK)


def of_its_own(instance_type: str) -> Workspace:
    """Return a Workspace that shares no label with those of other tests."""
    name = f"mistral-{uuid.uuid4().hex[:8]}"
    made = workspace(instance_type=instance_type)
    return made.model_copy(update={"name": name, "uid": f"uid-of-{name}"})


def asked(plane: ControlPlane, made: Workspace) -> str:
    claim = desired_objects(made, plan(made, MISTRAL_7B, KWOK), Snapshot(), KWOK, at(0))[0]
    plane.apply(claim)
    return str(claim["metadata"]["name"])


def reported(plane: ControlPlane, made: Workspace, claim: str) -> WorkspaceStatus:
    snapshot = Snapshot.parse(
        node_claims=[plane.read("get", "nodeclaim", claim)],
        nodes=plane.read("get", "nodes", "-l", f"kaito.sh/workspace={made.name}")["items"],
    )
    return report(made, plan(made, MISTRAL_7B, KWOK), snapshot, at(60))


def reason(status: WorkspaceStatus, kind: str) -> tuple[str, str]:
    found = status.condition(kind)
    assert found
    return found.status, found.reason


def test_the_ladder_follows_the_real_karpenter(karpenter_control_plane: ControlPlane) -> None:
    plane = karpenter_control_plane
    made = of_its_own(A100)
    claim = asked(plane, made)
    plane.kubectl("wait", f"nodeclaim/{claim}", "--for=condition=Registered", "--timeout=40s")
    joined = reported(plane, made, claim)
    assert reason(joined, "NodeClaimReady")[0] == "False"
    assert reason(joined, "NodesReady") == ("False", "NodeNotReady")

    node = plane.read("get", "nodeclaim", claim)["status"]["nodeName"]
    make_node_ready(plane, node, gpus=0)
    without = "jsonpath={.status.conditions[?(@.type=='Initialized')].reason}=ResourceNotRegistered"
    plane.kubectl("wait", f"nodeclaim/{claim}", f"--for={without}", "--timeout=40s")
    waiting = reported(plane, made, claim)
    assert reason(waiting, "NodeClaimReady") == ("False", "ResourceNotRegistered")
    assert reason(waiting, "Ready") == ("False", "NodePluginsNotReady")

    make_node_ready(plane, node, gpus=1)
    plane.kubectl("wait", f"nodeclaim/{claim}", "--for=condition=Ready", "--timeout=40s")
    ready = reported(plane, made, claim)
    assert reason(ready, "ResourceReady") == ("True", "workspaceResourceStatusSuccess")
    assert ready.worker_nodes == (node,)
    plane.kubectl("delete", "nodeclaim", claim, "--timeout=40s")


def test_the_clouds_refusal_reaches_the_user(karpenter_control_plane: ControlPlane) -> None:
    plane = karpenter_control_plane
    made = of_its_own("Standard_Nowhere")
    claim = asked(plane, made)
    failed = "jsonpath={.status.conditions[?(@.type=='Launched')].reason}=LaunchFailed"
    plane.kubectl("wait", f"nodeclaim/{claim}", f"--for={failed}", "--timeout=40s")
    status = reported(plane, made, claim)
    assert reason(status, "Ready") == ("False", "LaunchFailed")
    ready = status.condition("Ready")
    assert ready
    assert "Standard_Nowhere" in ready.message
    assert status.node_attempts[0].reason == "LaunchFailed"
    plane.kubectl("delete", "nodeclaim", claim, "--timeout=40s")
