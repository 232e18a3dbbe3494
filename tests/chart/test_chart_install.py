"""
Install, upgrade and uninstall the chart with the real Helm on a real API server.

Its own control plane, since the definition here belongs to a release.
"""

import copy
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import CommandError, ControlPlane
from tests.cluster import control_plane as run_control_plane
from tests.installation import (
    CHART,
    NAMESPACE,
    RELEASE,
    install_chart,
    render_chart,
    value_arguments,
)
from tests.workspaces import INFERENCE, merged

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.usefixtures("helm"),
    pytest.mark.timeout(180),  # several runs of Helm in a test
]

Manifest = dict[str, Any]
POLICIES = "validatingadmissionpolicybindings,validatingadmissionpolicies"
DEFINITION = "customresourcedefinition/workspaces.kaito.sh"


@pytest.fixture(scope="module")
def shared_plane() -> Iterator[ControlPlane]:
    with run_control_plane() as plane:
        yield plane


@pytest.fixture
def plane(shared_plane: ControlPlane) -> Iterator[ControlPlane]:
    """Give a control plane without definition and release, whatever the test before left."""
    yield shared_plane
    shared_plane.helm("uninstall", RELEASE, "-n", NAMESPACE, "--ignore-not-found")
    shared_plane.kubectl("delete", DEFINITION, "--ignore-not-found")


def install(
    plane: ControlPlane, *arguments: str, values: Manifest | None = None, chart: Path = CHART
) -> str:
    return plane.helm(
        *("upgrade", "--install", RELEASE, str(chart), "-n", NAMESPACE, "--create-namespace"),
        *value_arguments(values or {}),
        *arguments,
    ).stdout


def test_a_release_comes_changes_and_goes_and_workspaces_stay(plane: ControlPlane) -> None:
    notes = install(plane)
    plane.apply(INFERENCE)

    install(plane, values={"replicaCount": 2, "logLevel": "debug"})
    deployment = plane.read("get", "deployment", "atelier", "-n", NAMESPACE)
    plane.helm("uninstall", RELEASE, "-n", NAMESPACE)

    assert "kubectl apply -f mistral.yaml" in notes
    assert "kubectl get workspace mistral -o wide --watch" in notes
    assert deployment["spec"]["replicas"] == 2
    assert plane.read("get", "workspace", "mistral")["metadata"]["name"] == "mistral"
    gone = plane.kubectl("get", "deployment", "atelier", "-n", NAMESPACE, check=False)
    assert "NotFound" in gone.stderr
    install(plane)
    assert plane.read("get", "workspace", "mistral")["metadata"]["name"] == "mistral"


def test_an_upgrade_brings_the_definition_up_to_date(plane: ControlPlane, tmp_path: Path) -> None:
    older = shutil.copytree(CHART, tmp_path / "atelier")
    path = older / "files" / "workspaces.kaito.sh.yaml"
    definition = yaml.safe_load(path.read_text())
    del definition["spec"]["versions"][1]["additionalPrinterColumns"]
    path.write_text(yaml.safe_dump(definition))
    install(plane, chart=older)
    before = plane.read("get", DEFINITION)["spec"]["versions"][1]

    install(plane)

    after = plane.read("get", DEFINITION)["spec"]["versions"][1]
    assert "additionalPrinterColumns" not in before
    assert after["additionalPrinterColumns"][0]["name"] == "Instance"


def test_the_first_workspace_of_the_notes_is_accepted(plane: ControlPlane) -> None:
    for provisioner in ("karpenter", "byo"):
        notes = install(plane, values={"nodeProvisioner": provisioner})
        manifest = notes.partition("as file mistral.yaml:\n")[2].partition("kubectl apply")[0]

        plane.kubectl("apply", "--validate=strict", "--dry-run=server", "-f", "-", text=manifest)


def test_an_installed_chart_refuses_and_warns(plane: ControlPlane) -> None:
    """Each rule has its row in tests/apiserver/test_policies.py; this is the chart as it comes."""
    install(plane)

    def create(patch: Manifest) -> tuple[bool, str]:
        done = plane.kubectl(
            *("create", "--dry-run=server", "-f", "-"),
            text=json.dumps(merged(INFERENCE, patch)),
            check=False,
        )
        return done.returncode == 0, done.stderr

    misspelt = {"inference": {"preset": {"name": "mistral-7b-instuct"}}}
    runtime = {"metadata": {"annotations": {"kaito.sh/runtime": "transformer"}}}
    idle = {"metadata": {"annotations": {"kaito.sh/disable-benchmark": "true"}}}
    partition = {"resource": {"partition": {"mode": "accelerator", "count": 1}}}
    for patch, says in (
        (misspelt, "did you mean mistral-7b-instruct"),
        (runtime, "use transformers, spelt so"),
        (idle, "has no effect here"),
        (partition, "only supported with BYO nodes"),
    ):
        while says not in create(patch)[1]:
            time.sleep(0.1)  # the API server takes a new policy up on its own time
        assert create(patch)[0] == (patch is idle)
    assert create({}) == (True, "")


def test_an_annotation_from_before_the_policy_holds_nothing_up(plane: ControlPlane) -> None:
    install(plane, values={"admission": {"annotations": False}})
    key = "kaito.sh/performance-mode"
    before = json.dumps(merged(INFERENCE, {"metadata": {"annotations": {key: "fast"}}}))
    while plane.kubectl("apply", "-f", "-", text=before, check=False).returncode != 0:
        time.sleep(0.1)  # nor does it forget the policy of an earlier release at once
    install(plane, values={"admission": {"annotations": True}})
    changed = ("annotate", "workspace", "mistral", "--overwrite", "--dry-run=server")
    while plane.kubectl(*changed, f"{key}=faster", check=False).returncode == 0:
        time.sleep(0.1)

    plane.kubectl("label", "workspace", "mistral", "still=alive")
    plane.kubectl("delete", "workspace", "mistral")


def kaitos_controller(image: str) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "kaito-workspace", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "kaito"}},
            "template": {
                "metadata": {"labels": {"app": "kaito"}},
                "spec": {"containers": [{"name": "manager", "image": image}]},
            },
        },
    }


@pytest.fixture
def kaito(plane: ControlPlane) -> Iterator[str]:
    image = "mcr.microsoft.com/aks/kaito/workspace:0.12.0"
    plane.apply(kaitos_controller(image))
    yield image
    plane.kubectl("delete", "deployment", "kaito-workspace", "-n", "default")


def test_kaitos_controller_in_the_cluster_is_a_refusal_with_the_reason(
    plane: ControlPlane, kaito: str
) -> None:
    with pytest.raises(CommandError, match="deletes every Deployment") as caught:
        install(plane)

    assert f"default/kaito-workspace, image {kaito}" in str(caught.value)
    assert "atelier" in install(plane, values={"allowBesideKaito": True})


def test_a_foreign_definition_is_not_taken_without_asking(plane: ControlPlane) -> None:
    (foreign,) = (each for each in render_chart() if each["kind"] == "CustomResourceDefinition")
    foreign = copy.deepcopy(foreign)
    del foreign["metadata"]["annotations"], foreign["metadata"]["labels"]
    plane.apply(foreign)
    plane.apply(INFERENCE)

    with pytest.raises(CommandError, match="belongs to no release") as caught:
        install(plane)
    assert "--set crd.adopt=true --take-ownership --force-conflicts" in str(caught.value)
    install(plane, values={"crd": {"install": False}})
    plane.helm("uninstall", RELEASE, "-n", NAMESPACE)
    adopting = ("--take-ownership", "--force-conflicts")
    install(plane, *adopting, values={"crd": {"adopt": True}})

    assert plane.read("get", "workspace", "mistral")["metadata"]["name"] == "mistral"
    annotations = plane.read("get", DEFINITION)["metadata"]["annotations"]
    assert annotations["meta.helm.sh/release-name"] == RELEASE


VARIANTS: dict[str, dict[str, object]] = {
    "as it is": {},
    "everything": {
        "replicaCount": 3,
        "nodeProvisioner": "byo",
        "presets": {"mine.yaml": "name: mine\n"},
        "networkPolicy": {"enabled": True, "metricsFrom": [{"namespaceSelector": {}}]},
        "metrics": {"port": 9000, "service": {"annotations": {"a": "b"}}},
        "health": {"port": 9001},
        "nodeClass": {"group": "g.example.com", "kind": "Machine", "name": "gpu"},
        "imagePullSecrets": [{"name": "pull"}],
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "atelier"}},
            }
        ],
        "podAnnotations": {"c": "d"},
        "commonLabels": {"team": "ml"},
        "serviceAccount": {"name": "other", "annotations": {"e": "f"}},
    },
    "nothing": {
        "crd": {"install": False},
        "metrics": {"service": {"enabled": False}},
        "rbac": {"create": False},
        "serviceAccount": {"create": False},
    },
}


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_the_api_server_takes_every_object_and_the_pod_is_restricted(
    shared_plane: ControlPlane, values: dict[str, object]
) -> None:
    plane = shared_plane
    namespace = plane.create_namespace()
    plane.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    manifests = render_chart(values, namespace=namespace)

    plane.apply([each for each in manifests if each["kind"] != "CustomResourceDefinition"])

    (deployment,) = (each for each in manifests if each["kind"] == "Deployment")
    assert pod_verdict(plane, deployment, namespace) == ""
    spoilt = copy.deepcopy(deployment)
    del spoilt["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]
    assert "runAsNonRoot != true" in pod_verdict(plane, spoilt, namespace)
    plane.kubectl("delete", "clusterrole,clusterrolebinding", "atelier", "--ignore-not-found")
    plane.kubectl("delete", POLICIES, "--all")


def pod_verdict(plane: ControlPlane, deployment: Manifest, namespace: str) -> str:
    """Ask the API server, as a trial, for the pod that the Deployment would make."""
    template = deployment["spec"]["template"]
    metadata = {**template["metadata"], "name": "trial", "namespace": namespace}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    try:
        plane.kubectl("create", "--dry-run=server", "-f", "-", text=json.dumps(pod))
    except CommandError as error:
        return str(error)
    return ""


def test_the_operators_account_may_work_and_nothing_else(shared_plane: ControlPlane) -> None:
    kubeconfig = install_chart(shared_plane)

    def may(verb: str, group: str, resource: str, namespace: str = "", name: str = "") -> bool:
        plural, _, subresource = resource.partition("/")
        asked = {"verb": verb, "group": group, "resource": plural, "subresource": subresource}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {**asked, "namespace": namespace, "name": name}},
        }
        answer = shared_plane.kubectl(
            *("--kubeconfig", str(kubeconfig), "create", "--validate=false"),
            *("-o", "json", "-f", "-"),
            text=json.dumps(review),
        )
        return json.loads(answer.stdout)["status"]["allowed"] is True

    assert may("list", "kaito.sh", "workspaces")
    assert may("patch", "kaito.sh", "workspaces/status", "any")
    assert may("create", "karpenter.sh", "nodeclaims")
    assert may("update", "coordination.k8s.io", "leases", NAMESPACE, "atelier-operator")
    assert not may("update", "coordination.k8s.io", "leases", NAMESPACE, "other")
    assert not may("create", "coordination.k8s.io", "leases", "default")
    assert not may("get", "", "secrets")
    assert not may("delete", "", "nodes")
    assert not may("create", "", "pods", "default")
    assert not may("delete", "kaito.sh", "workspaces", "default")
    shared_plane.kubectl("delete", "clusterrole,clusterrolebinding", "atelier")
    shared_plane.kubectl("delete", DEFINITION)
