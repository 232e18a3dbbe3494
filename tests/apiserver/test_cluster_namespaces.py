"""What the API server says of objects whose namespace went without them."""

import json

import pytest
from workspace_operator.cluster import ApiServer, Gone, Manifest
from workspace_operator.cluster.kinds import SERVICE

from tests.cluster import ControlPlane

pytestmark = pytest.mark.apiserver


def service(namespace: str, name: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": [{"port": 80}]},
    }


def end(plane: ControlPlane, namespace: str) -> None:
    """End a namespace as its controller does that does not know of a kind: by its finalizer."""
    plane.kubectl("delete", "namespace", namespace, "--wait=false")
    ended = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    finalize = f"/api/v1/namespaces/{namespace}/finalize"
    plane.kubectl("replace", "--raw", finalize, "-f", "-", text=json.dumps(ended))


async def test_every_write_is_refused_in_the_namespaces_name_until_it_is_made_again(
    cluster: ApiServer, control_plane: ControlPlane
) -> None:
    team = control_plane.create_namespace()
    made = await cluster.create(service(team, "left"))
    left = await cluster.set_finalizers(made, ("example.org/stay",))
    end(control_plane, team)
    for write in (
        cluster.apply(service(team, "left")),
        cluster.apply_status({**service(team, "left"), "status": {"loadBalancer": {}}}),
        cluster.create(service(team, "new")),
        cluster.set_finalizers(left, ()),
        cluster.try_apply(service(team, "new")),
    ):
        with pytest.raises(Gone, match=f'namespaces "{team}" not found') as refused:
            await write
        assert refused.value.namespace_is_gone
    assert await cluster.find(SERVICE, "left", team) is not None
    await cluster.delete(SERVICE, "left", team, left["metadata"]["uid"])
    control_plane.kubectl("create", "namespace", team)
    waits = await cluster.find(SERVICE, "left", team)
    assert waits is not None
    await cluster.set_finalizers(waits, ())
    assert await cluster.find(SERVICE, "left", team) is None


async def test_an_object_that_is_not_there_says_nothing_of_its_namespace(
    cluster: ApiServer, namespace: str
) -> None:
    made = await cluster.create(service(namespace, "going"))
    await cluster.delete(SERVICE, "going", namespace, made["metadata"]["uid"])
    with pytest.raises(Gone) as refused:
        await cluster.set_finalizers(made, ())
    assert not refused.value.namespace_is_gone
