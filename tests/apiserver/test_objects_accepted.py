"""
Put the operator's manifests to a real API server: taken, restricted, and stable once stored.

Namespaces enforce Pod Security "restricted"; claims go against Karpenter's own definitions.
"""

import json
from typing import Any

import pytest
from workspace_operator.changes import changes
from workspace_operator.likeness import covers
from workspace_operator.objects import desired_objects
from workspace_operator.snapshot import Snapshot
from workspace_operator.status import report

from tests.builders import SETTINGS, Manifest, at, node, planned, workspace
from tests.builders.golden import golden_manifests
from tests.cluster import CommandError, ControlPlane, karpenter_crds

pytestmark = pytest.mark.apiserver

GOLDEN = golden_manifests()


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> ControlPlane:
    """Teach the API server what a NodeClaim is, and be strict about pods."""
    for path in karpenter_crds():
        control_plane.apply(path)
    return control_plane


@pytest.fixture(scope="module")
def namespace(plane: ControlPlane) -> str:
    name = plane.create_namespace()
    plane.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    return name


def placed(manifest: Manifest, namespace: str) -> Manifest:
    if manifest["kind"] == "NodeClaim":
        return manifest
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}


def applied(plane: ControlPlane, manifest: Manifest, *how: str) -> Any:  # noqa: ANN401 - an object of the API
    done = plane.kubectl(
        *("apply", "--server-side", "--validate=strict", "-o", "json", "-f", "-", *how),
        text=json.dumps(manifest),
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_the_manifest_is_taken_and_comes_back_alike(
    plane: ControlPlane, namespace: str, name: str
) -> None:
    """What the API server fills in must never look like drift, or every pass would write."""
    manifest = placed(GOLDEN[name], namespace)
    stored = applied(plane, manifest, "--dry-run=server")
    assert covers(manifest, stored)


@pytest.mark.parametrize("name", [name for name in sorted(GOLDEN) if "deployment" in name])
def test_the_pod_passes_pod_security_restricted(
    plane: ControlPlane, namespace: str, name: str
) -> None:
    template = GOLDEN[name]["spec"]["template"]
    pod: Manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": "trial", "namespace": namespace},
        "spec": template["spec"],
    }
    applied(plane, pod, "--dry-run=server")
    weaker = {**pod, "spec": {**pod["spec"], "securityContext": {"runAsNonRoot": False}}}
    with pytest.raises(CommandError) as refused:
        applied(plane, weaker, "--dry-run=server")
    assert "violates PodSecurity" in str(refused.value)


def test_once_everything_is_stored_nothing_is_left_to_write(
    plane: ControlPlane, namespace: str
) -> None:
    made = workspace().model_copy(update={"namespace": namespace, "uid": namespace})
    plan = planned(made)
    first = desired_objects(made, plan, Snapshot(), SETTINGS, at(0))
    claim, service = [applied(plane, each) for each in first]
    labels = claim["metadata"]["labels"]
    there = Snapshot.parse(node_claims=[claim], nodes=[node(labels=labels)], service=service)
    made = made.model_copy(update={"status": report(made, plan, there, at(1))})
    second = desired_objects(made, plan, there, SETTINGS, at(2))
    todo = changes(made, plan, second, there, at(2))
    assert [each["kind"] for each in todo.apply] == ["NetworkPolicy", "Deployment"]
    policy, deployment = [applied(plane, each) for each in todo.apply]
    whole = Snapshot.parse(
        node_claims=[claim],
        nodes=[node(labels=labels)],
        service=service,
        network_policy=policy,
        deployment=deployment,
    )
    third = desired_objects(made, plan, whole, SETTINGS, at(3))
    assert not changes(made, plan, third, whole, at(3))
