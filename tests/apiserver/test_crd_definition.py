"""
Check the CustomResourceDefinition as users of kubectl and old objects meet it.
"""

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from workspace_operator.api import Condition, WorkspaceStatus, parse
from workspace_operator.crd import definition, policies, render
from workspace_operator.crd.schema import walk

from tests.cluster import ControlPlane
from tests.cluster import control_plane as run_control_plane
from tests.workspaces import BAD, INFERENCE, merged
from tests.workspaces.client import WorkspaceClient, workspace_client

REPOSITORY = Path(__file__).parents[2]
CHART_COPY = REPOSITORY / "charts/atelier/files/workspaces.kaito.sh.yaml"
POLICIES_COPY = CHART_COPY.with_name("admission.yaml")
KAITO_COLUMNS = [
    "NAME",
    "INSTANCE",
    "RESOURCEREADY",
    "INFERENCEREADY",
    "JOBSTARTED",
    "WORKSPACESUCCEEDED",
    "TARGETNODECOUNT",
    "STATE",
    "AGE",
]
MOMENT = "2026-03-01T10:00:00Z"


def schemas() -> dict[str, Any]:
    versions = definition()["spec"]["versions"]
    return {each["name"]: each["schema"]["openAPIV3Schema"] for each in versions}


def test_the_chart_carries_the_definition_of_these_models() -> None:
    assert CHART_COPY.read_text() == render(), "run `make generate`"


def test_the_chart_carries_the_policies_of_these_rules_and_presets() -> None:
    assert POLICIES_COPY.read_text() == policies.render(), "run `make generate`"


def test_every_field_is_described() -> None:
    bare: list[Any] = []

    def visit(schema: dict[str, Any]) -> None:
        for name, each in schema.get("properties", {}).items():
            if "description" not in each and name not in {"metadata", "name"}:
                bare.append(name)

    for schema in schemas().values():
        walk(schema, visit)

    assert bare == []


def test_kubernetes_names_are_kaitos() -> None:
    spec = definition()["spec"]

    assert spec["names"]["shortNames"] == ["wk", "wks"]
    assert spec["names"]["categories"] == ["workspace"]
    assert [(each["name"], each["served"], each["storage"]) for each in spec["versions"]] == [
        ("v1alpha1", True, False),
        ("v1beta1", True, True),
    ]


@pytest.fixture
def client(control_plane: ControlPlane, namespace: str) -> Iterator[WorkspaceClient]:
    control_plane.apply(definition())
    with workspace_client(control_plane, namespace) as client:
        yield client


def full_status() -> WorkspaceStatus:
    condition = {
        "type": "ResourceReady",
        "status": "True",
        "reason": "workspaceResourceStatusSuccess",
        "message": "workspace resource is ready",
        "lastTransitionTime": MOMENT,
        "observedGeneration": 1,
    }
    return WorkspaceStatus.model_validate(
        {
            "workerNodes": ["node-1"],
            "targetNodeCount": 1,
            "state": "Ready",
            "conditions": [condition],
            "performance": {"metrics": {"peakTokensPerMinute": {"description": "d", "value": "9"}}},
            "phase": "Serving",
            "progress": "1 of 1 pods answer",
            "startup": {"nodeLaunched": 41.5, "firstToken": 0.4, "total": 120},
            "download": {"bytes": 5, "totalBytes": 14483464192, "secondsLeft": 7},
            "plan": {"nodes": 1, "gpus": 1, "fit": "fits", "kvTokens": 50000},
            "endpoint": {"url": "http://mistral.default.svc"},
            "model": {"name": "mistral-7b-instruct", "revision": "9ab9"},
            "observedGeneration": 1,
            "nodeAttempts": [{"ordinal": 0, "attempt": 2, "reason": "NoCapacity", "time": MOMENT}],
        }
    )


@pytest.mark.apiserver
def test_the_whole_status_is_kept_and_read_back(client: WorkspaceClient) -> None:
    status = full_status()
    assert client.create(INFERENCE, keep=True).accepted

    verdict = client.patch(INFERENCE, {"status": status.to_manifest()}, at="/status")

    assert verdict.accepted, verdict.body["message"]
    assert parse(client.read(INFERENCE)).status == status


@pytest.mark.apiserver
def test_status_is_a_subresource(client: WorkspaceClient) -> None:
    assert client.create(merged(INFERENCE, {"status": {"state": "Ready"}}), keep=True).accepted
    before = client.read(INFERENCE)

    client.patch(INFERENCE, {"resource": {"count": 7}, "status": {"state": "Ready"}}, at="/status")

    after = client.read(INFERENCE)
    assert "status" not in before
    assert after["status"] == {"state": "Ready"}
    assert after["resource"]["count"] == 1
    assert after["metadata"]["generation"] == before["metadata"]["generation"] == 1


@pytest.mark.apiserver
def test_v1alpha1_shows_only_what_it_knew(client: WorkspaceClient) -> None:
    client.create(INFERENCE, keep=True)
    client.patch(INFERENCE, {"status": full_status().to_manifest()}, at="/status")

    status = client.read(INFERENCE, "v1alpha1")["status"]

    assert status["workerNodes"] == ["node-1"]
    assert not {"state", "targetNodeCount", "performance"} & status.keys()


@pytest.mark.apiserver
def test_two_writers_of_conditions_do_not_drop_each_others(
    control_plane: ControlPlane, client: WorkspaceClient
) -> None:
    client.create(INFERENCE, keep=True)
    for manager, kind in (("one", "NodesReady"), ("two", "InferenceReady")):
        condition = Condition(
            type=kind,
            status="True",
            reason="Test",
            message="",
            last_transition_time=full_status().conditions[0].last_transition_time,
        )
        body = {
            "apiVersion": "kaito.sh/v1beta1",
            "kind": "Workspace",
            "metadata": {"name": "mistral", "namespace": client.namespace},
            "status": {"conditions": [condition.to_manifest()]},
        }
        answer = client.http.patch(
            f"/apis/kaito.sh/v1beta1/namespaces/{client.namespace}/workspaces/mistral/status",
            params={"fieldManager": manager},
            json=body,
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        assert answer.is_success, answer.text

    read = parse(client.read(INFERENCE)).status
    assert {each.type for each in read.conditions} == {"NodesReady", "InferenceReady"}
    assert control_plane.read("get", "wk", "mistral", "-n", client.namespace)["kind"] == "Workspace"


@pytest.mark.apiserver
def test_kubectl_shows_kaitos_columns_and_ours_when_asked(
    control_plane: ControlPlane, client: WorkspaceClient
) -> None:
    client.create(INFERENCE, keep=True)
    client.patch(INFERENCE, {"status": full_status().to_manifest()}, at="/status")

    short = control_plane.kubectl("get", "workspaces", "-n", client.namespace).stdout
    wide = control_plane.kubectl("get", "wk", "-n", client.namespace, "-o", "wide").stdout

    assert short.splitlines()[0].split() == KAITO_COLUMNS
    assert wide.splitlines()[0].split() == [*KAITO_COLUMNS, "PHASE", "PROGRESS", "MODEL", "URL"]
    assert short.split()[len(KAITO_COLUMNS) : -1] == [
        "mistral",
        "Standard_NC24ads_A100_v4",
        "True",
        "1",
        "Ready",
    ]
    assert "1 of 1 pods answer" in wide
    assert "http://mistral.default.svc" in wide


@pytest.mark.apiserver
def test_kubectl_explains_a_field(control_plane: ControlPlane, client: WorkspaceClient) -> None:
    assert client.create(INFERENCE).accepted

    explained = control_plane.kubectl("explain", "workspace.resource.instanceType").stdout

    assert "cheapest type" in explained.replace("\n", " ")


def lax() -> dict[str, Any]:
    """Give the definition as it would be without any rule and limit: an older release's."""
    loose = copy.deepcopy(definition())
    limits = {"x-kubernetes-validations", "minimum", "minLength", "maxItems", "pattern"}

    def loosen(schema: dict[str, Any]) -> None:
        for limit in limits & schema.keys():
            del schema[limit]

    for version in loose["spec"]["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        walk(schema, loosen)
        for path in (schema, schema["properties"]["resource"], schema["properties"]["tuning"]):
            path.pop("required", None)
    return loose


@pytest.fixture(scope="module")
def own_plane() -> Iterator[ControlPlane]:
    """Run a control plane apart: its definition is changed under stored objects."""
    with run_control_plane() as plane:
        yield plane


# What a schema forbids by its type cannot be stored even by a lax definition.
NEVER_STORED = {
    "name that ends with a dash",
    *(
        name
        for name, bad in BAD.items()
        if bad.says in {"required", "accelerator", "DoesNotExist", "private"}
        if name != "no resource"
    ),
}


@pytest.mark.apiserver
@pytest.mark.timeout(180)  # a control plane of its own, and three hundred requests
def test_an_object_older_than_the_rules_stays_alive_and_can_go(own_plane: ControlPlane) -> None:
    """
    Store each bad Workspace under a lax definition, tighten it, and use the object.

    Status, labels and finalizers must still be writable, or the operator could neither report on
    such an object nor ever let it go.
    """
    own_plane.apply(lax())
    stored = {}
    with workspace_client(own_plane, own_plane.create_namespace()) as client:
        for number, (name, bad) in enumerate(BAD.items()):
            if name in NEVER_STORED:
                continue
            stored[name] = merged(
                bad.manifest,
                {}
                if bad.path == "metadata.name"
                else {"metadata": {"name": f"old-{number}", "finalizers": ["kaito.sh/test"]}},
            )
            verdict = client.create(stored[name], keep=True)
            assert verdict.accepted, (name, verdict.body)
        own_plane.apply(definition())
        while client.create(BAD["neither"].manifest).accepted:
            time.sleep(0.05)  # the API server takes a new definition up on its own time
        refusals = {
            (name, at): verdict.body["message"]
            for name, manifest in stored.items()
            for patch, at in (
                ({"status": {"state": "Pending"}}, "/status"),
                ({"metadata": {"labels": {"seen": "yes"}}}, ""),
                ({"metadata": {"finalizers": None}}, ""),
            )
            if not (verdict := client.patch(manifest, patch, at=at)).accepted
        }
        assert not refusals, "\n".join(map(str, refusals.items()))
