"""
Check that whatever the API server stored becomes a Workspace or an InvalidSpec, and nothing else.
"""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workspace_operator.api import Condition, InvalidSpec, WorkspaceStatus, parse

MISTRAL: dict[str, Any] = {
    "apiVersion": "kaito.sh/v1beta1",
    "kind": "Workspace",
    "metadata": {
        "name": "mistral",
        "namespace": "team",
        "uid": "6a1f",
        "generation": 2,
        "resourceVersion": "71",
        "labels": {"a": "b"},
        "annotations": {"kaito.sh/enablelb": "True"},
        "finalizers": ["workspace.finalizer.kaito.sh"],
        "deletionTimestamp": "2026-03-01T10:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
    },
    "resource": {
        "instanceType": "Standard_NC24ads_A100_v4",
        "labelSelector": {"matchLabels": {"apps": "mistral"}},
    },
    "inference": {"preset": {"name": "mistral-7b-instruct"}},
}

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PATHS = [
    ("metadata",),
    ("metadata", "name"),
    ("metadata", "labels"),
    ("resource",),
    ("resource", "count"),
    ("resource", "labelSelector"),
    ("resource", "labelSelector", "matchExpressions"),
    ("resource", "partition"),
    ("inference",),
    ("inference", "preset"),
    ("inference", "adapters"),
    ("tuning",),
    ("status",),
    ("status", "conditions"),
    ("status", "nodeAttempts"),
    ("status", "startup"),
]


def replaced(body: dict[str, Any], path: tuple[str, ...], value: object) -> dict[str, Any]:
    head, *rest = path
    inner = replaced(body.get(head) or {}, tuple(rest), value) if rest else value
    return body | {head: inner}


def test_a_manifest_becomes_a_workspace_with_defaults() -> None:
    workspace = parse(MISTRAL)

    assert (workspace.name, workspace.namespace, workspace.uid) == ("mistral", "team", "6a1f")
    assert (workspace.generation, workspace.resource_version) == (2, "71")
    assert workspace.deletion_timestamp == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert workspace.finalizers == ("workspace.finalizer.kaito.sh",)
    assert workspace.resource.count == 1
    assert workspace.resource.label_selector.match_labels == {"apps": "mistral"}
    assert workspace.inference is not None
    assert workspace.inference.preset is not None
    assert workspace.inference.preset.access_mode == "public"
    assert workspace.status == WorkspaceStatus()


def test_an_explicit_null_is_an_absent_field() -> None:
    body = replaced(MISTRAL, ("resource", "count"), None) | {"tuning": None, "status": None}

    workspace = parse(body)

    assert workspace.resource.count == 1
    assert workspace.tuning is None


def test_unknown_fields_are_left_out() -> None:
    body = replaced(MISTRAL, ("resource", "futureField"), {"x": 1})

    assert parse(body) == parse(MISTRAL)


@pytest.mark.parametrize(
    ("path", "value", "where", "remedy"),
    [
        (("resource", "count"), "3", "resource.count", "whole number"),
        (("resource", "count"), True, "resource.count", "whole number"),
        (("resource", "count"), -1, "resource.count", "greater than or equal to 1"),
        (("resource",), 5, "resource", "map"),
        (("resource", "labelSelector"), None, "resource.labelSelector", "required"),
        (("metadata", "name"), None, "metadata.name", "required"),
        (("metadata",), "mistral", "metadata", "metadata.name"),
        (("inference", "adapters"), "a", "inference.adapters", "list"),
        (("inference", "adapters"), [7], "inference.adapters[0]", "map"),
        (
            ("resource", "labelSelector", "matchLabels", "apps"),
            5,
            "resource.labelSelector.matchLabels.apps",
            "quotes",
        ),
    ],
)
def test_a_wrong_type_names_the_field_the_value_and_the_remedy(
    path: tuple[str, ...], value: object, where: str, remedy: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse(replaced(MISTRAL, path, value))

    assert caught.value.path == where
    assert remedy in caught.value.why


def test_a_long_bad_value_is_cut() -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse(replaced(MISTRAL, ("resource", "instanceType"), ["x" * 10_000]))

    assert len(str(caught.value)) < 200


@given(path=st.sampled_from(PATHS), value=JSON)
def test_nothing_stored_raises_anything_but_invalid_spec(
    path: tuple[str, ...], value: object
) -> None:
    with suppress(InvalidSpec):
        assert parse(replaced(MISTRAL, path, value)).namespace


def test_what_cannot_be_read_of_a_status_is_left_out_and_the_rest_kept() -> None:
    good = {
        "type": "ResourceReady",
        "status": "True",
        "reason": "workspaceResourceStatusSuccess",
        "message": "workspace resource is ready",
        "lastTransitionTime": "2026-03-01T10:00:00Z",
    }
    body = MISTRAL | {"status": {"state": 5, "phase": "Pulling", "conditions": [{"type": 1}, good]}}

    status = parse(body).status

    assert status.state is None
    assert status.phase == "Pulling"
    assert [each.type for each in status.conditions] == ["ResourceReady"]


def test_a_status_survives_the_way_through_the_api_server() -> None:
    moment = datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)
    condition = Condition(
        type="Ready",
        status="False",
        reason="WeightsLoading",
        message="7 of 14 GB",
        last_transition_time=moment,
        observed_generation=2,
    )
    status = WorkspaceStatus(state="Pending", conditions=(condition,), observed_generation=2)

    manifest = status.to_manifest()

    assert manifest["conditions"][0]["lastTransitionTime"] == "2026-03-01T10:00:00Z"
    assert "download" not in manifest
    assert parse(MISTRAL | {"status": manifest}).status == status
    assert status.condition("Ready") == condition
    assert status.condition("NodesReady") is None
