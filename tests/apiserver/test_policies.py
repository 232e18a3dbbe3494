"""Put what only policies can see to a real API server: annotations, presets, who brings nodes."""

import copy
import time
from collections.abc import Iterator
from typing import Any

import pytest
from workspace_operator.crd import definition
from workspace_operator.crd.policies import POLICIES

from tests.cluster import ControlPlane
from tests.installation import RELEASE, render_chart
from tests.workspaces import GOOD, INFERENCE, JUDGED, Judged, merged
from tests.workspaces.client import Verdict, WorkspaceClient, workspace_client

Manifest = dict[str, Any]

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("helm")]

LABEL = "tests.example/policy"
OWN_PRESET = "name: our-model\naliases: [Our-Alias]\nrepo: Our/Model\ntunable: true\n"


def rendered(namespace: str) -> list[Manifest]:
    """Give every policy of the chart, each held to namespaces that are labelled with its name."""
    kinds = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ConfigMap")
    manifests = {
        (each["kind"], each["metadata"]["name"]): each
        for provisioner in ("karpenter", "byo")
        for each in render_chart(
            {"nodeProvisioner": provisioner, "presets": {"mine.yaml": OWN_PRESET}},
            namespace=namespace,
        )
        if each["kind"] in kinds
    }
    for (kind, name), each in manifests.items():
        if kind == "ValidatingAdmissionPolicyBinding":
            labels = {LABEL: name.removeprefix(f"{RELEASE}-")}
            each["spec"]["matchResources"] = {"namespaceSelector": {"matchLabels": labels}}
    return [copy.deepcopy(each) for each in manifests.values()]


def judge(client: WorkspaceClient, row: Judged, manifest: Manifest) -> Verdict:
    if row.before is None:
        return client.create(manifest)
    assert client.create(row.before, keep=True).accepted
    try:
        annotations = manifest["metadata"]["annotations"]
        return client.patch(row.before, {"metadata": {"annotations": annotations}})
    finally:
        client.delete(row.before)


@pytest.fixture(scope="module")
def clients(control_plane: ControlPlane) -> Iterator[dict[str, WorkspaceClient]]:
    """Give a client in a namespace of its own for each policy, when that has taken effect."""
    control_plane.apply(definition())
    namespaces = {name: control_plane.create_namespace() for name in POLICIES}
    for name, namespace in namespaces.items():
        control_plane.kubectl("label", "namespace", namespace, f"{LABEL}={name}")
    control_plane.apply(rendered(namespaces["presets"]))
    with workspace_client(control_plane, "default") as any_client:
        found = {
            name: WorkspaceClient(http=any_client.http, namespace=namespace)
            for name, namespace in namespaces.items()
        }
        for name, client in found.items():
            row = next(each for each in JUDGED.values() if each.policy == name)
            while (verdict := judge(client, row, row.bad)).accepted and not verdict.warnings:
                time.sleep(0.1)  # the API server takes a new policy up on its own time
        yield found


@pytest.mark.parametrize("row", JUDGED.values(), ids=JUDGED.keys())
def test_the_policy_says_what_is_wrong_and_what_to_do(
    clients: dict[str, WorkspaceClient], row: Judged
) -> None:
    client = clients[row.policy]

    bad, good = judge(client, row, row.bad), judge(client, row, row.good)

    assert bad.accepted != POLICIES[row.policy].denies
    said = " ".join(bad.warnings).replace('\\"', '"') if bad.accepted else bad.body["message"]
    assert row.says in said
    assert row.field.partition("*")[0] in said
    assert good.accepted, good.body["message"]
    assert good.warnings == ()


@pytest.mark.parametrize("name", ["annotations", "presets"])
def test_a_good_workspace_passes(clients: dict[str, WorkspaceClient], name: str) -> None:
    """The policies mind nothing that the definition lets pass."""
    for title, manifest in GOOD.items():
        verdict = clients[name].create(manifest)

        tuned = name == "presets" and "tuning" in manifest
        assert verdict.accepted or tuned, (title, verdict.body["message"])


@pytest.mark.parametrize("name", ["our-model", "OUR-alias", "our/model"])
def test_a_preset_of_the_administrator_is_known(
    clients: dict[str, WorkspaceClient], name: str
) -> None:
    mine = merged(INFERENCE, {"inference": {"preset": {"name": name}}})

    assert clients["presets"].create(mine).accepted


def test_v1alpha1_which_fills_in_an_instance_type_is_let_pass(
    clients: dict[str, WorkspaceClient],
) -> None:
    bare = merged(INFERENCE, {"resource": {"instanceType": None}})

    verdict = clients["nodes-byo"].create(merged(bare, {"apiVersion": "kaito.sh/v1alpha1"}))

    assert verdict.accepted, verdict.body["message"]


OLDER = {
    name: row for name, row in JUDGED.items() if POLICIES[row.policy].denies and row.before is None
}


@pytest.mark.parametrize("name", OLDER)
def test_what_was_there_before_a_policy_holds_nothing_up(
    control_plane: ControlPlane, clients: dict[str, WorkspaceClient], name: str
) -> None:
    """Store it where no policy looks, then let the policy look there, and use the object."""
    row = OLDER[name]
    namespace = control_plane.create_namespace()
    old = WorkspaceClient(http=clients[row.policy].http, namespace=namespace)
    held = merged(row.bad, {"metadata": {"finalizers": ["kaito.sh/test"]}})
    assert old.create(held, keep=True).accepted
    control_plane.kubectl("label", "namespace", namespace, f"{LABEL}={row.policy}")
    while old.create(merged(row.bad, {"metadata": {"name": "another"}})).accepted:
        time.sleep(0.05)

    seen = old.patch(held, {"metadata": {"labels": {"seen": "yes"}}})
    freed = old.patch(held, {"metadata": {"finalizers": None}})

    assert seen.accepted, seen.body["message"]
    assert freed.accepted, freed.body["message"]
