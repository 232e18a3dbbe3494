"""
Put the table of Workspaces to a real API server, in both versions.
"""

from collections.abc import Iterator

import pytest
from workspace_operator.crd import definition

from tests.cluster import ControlPlane
from tests.workspaces import ALSO_FREE, BAD, CHANGES, GOOD, INFERENCE, NOT_IN_ALPHA, Bad, merged
from tests.workspaces.client import WorkspaceClient, workspace_client
from tests.workspaces.good import Manifest

pytestmark = pytest.mark.apiserver

ALPHA = {"apiVersion": "kaito.sh/v1alpha1"}
ALPHA_GOOD = {name: each for name, each in GOOD.items() if name not in NOT_IN_ALPHA}
ALPHA_BAD = {name: each for name, each in BAD.items() if each.in_alpha}


@pytest.fixture(scope="module")
def client(control_plane: ControlPlane) -> Iterator[WorkspaceClient]:
    control_plane.apply(definition())
    with workspace_client(control_plane, control_plane.create_namespace()) as client:
        yield client


def refused(client: WorkspaceClient, manifest: Manifest, bad: Bad) -> None:
    verdict = client.create(manifest)
    assert not verdict.accepted
    assert bad.path in verdict.causes, verdict.body["message"]
    assert bad.says.lower() in verdict.causes[bad.path].lower()


@pytest.mark.parametrize("manifest", GOOD.values(), ids=GOOD.keys())
def test_a_good_workspace_is_accepted(client: WorkspaceClient, manifest: Manifest) -> None:
    verdict = client.create(manifest)

    assert verdict.accepted, verdict.body["message"]


@pytest.mark.parametrize("manifest", ALPHA_GOOD.values(), ids=ALPHA_GOOD.keys())
def test_a_good_workspace_is_accepted_as_v1alpha1(
    client: WorkspaceClient, manifest: Manifest
) -> None:
    verdict = client.create(merged(manifest, ALPHA))

    assert verdict.accepted, verdict.body["message"]


@pytest.mark.parametrize("name", NOT_IN_ALPHA)
def test_a_field_that_v1alpha1_lacks_is_refused_by_name(client: WorkspaceClient, name: str) -> None:
    verdict = client.create(merged(GOOD[name], ALPHA))

    assert not verdict.accepted
    assert "unknown field" in verdict.body["message"]


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_workspace_is_refused_with_field_and_remedy(
    client: WorkspaceClient, bad: Bad
) -> None:
    refused(client, bad.manifest, bad)


@pytest.mark.parametrize("bad", ALPHA_BAD.values(), ids=ALPHA_BAD.keys())
def test_a_bad_workspace_is_refused_as_v1alpha1(client: WorkspaceClient, bad: Bad) -> None:
    refused(client, merged(bad.manifest, ALPHA), bad)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_its_good_counterpart_is_accepted(client: WorkspaceClient, bad: Bad) -> None:
    verdict = client.create(bad.good)

    assert verdict.accepted, verdict.body["message"]


def test_a_refusal_shows_the_offending_value(client: WorkspaceClient) -> None:
    verdict = client.create(BAD["strength above 1"].manifest)

    assert 'Strength value "1.5" must be between 0 and 1' in verdict.body["message"]


def test_v1alpha1_takes_kaitos_instance_type_where_none_is_named(client: WorkspaceClient) -> None:
    bare = merged(INFERENCE, {"resource": {"instanceType": None}})

    alpha = client.create(merged(bare, ALPHA)).body["resource"]
    beta = client.create(bare).body["resource"]

    assert alpha["instanceType"] == "Standard_NC24ads_A100_v4"
    assert "instanceType" not in beta
    assert alpha["count"] == beta["count"] == 1


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_what_is_fixed_is_refused_and_of_what_is_free_taken(
    client: WorkspaceClient, namespace: str, name: str
) -> None:
    row = CHANGES[name]
    own = WorkspaceClient(http=client.http, namespace=namespace)
    assert own.create(row.before, keep=True).accepted

    verdict = own.patch(row.before, row.bad)
    free = own.patch(row.before, row.good)

    assert not verdict.accepted
    assert row.says in verdict.causes[row.path]
    assert free.accepted, free.body["message"]


@pytest.mark.parametrize("name", ALSO_FREE)
def test_more_changes_are_taken(client: WorkspaceClient, namespace: str, name: str) -> None:
    before, change = ALSO_FREE[name]
    own = WorkspaceClient(http=client.http, namespace=namespace)
    assert own.create(before, keep=True).accepted

    verdict = own.patch(before, change)

    assert verdict.accepted, verdict.body["message"]
