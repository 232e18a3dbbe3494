"""Who owns a field that a create has set, and how an apply comes to take it away again."""

import pytest
from workspace_operator.cluster import ApiServer, Manifest
from workspace_operator.cluster.kinds import SERVICE
from workspace_operator.cluster.ownership import handed_over

pytestmark = pytest.mark.apiserver


def service(namespace: str, **metadata: object) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": namespace, **metadata},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}},
    }


async def test_what_was_created_is_ours_to_take_away_after_it_was_handed_over(
    cluster: ApiServer, namespace: str
) -> None:
    made = await cluster.create(service(namespace, labels={"tier": "a"}))
    wished = service(namespace)
    kept = await cluster.apply(wished)
    assert kept["metadata"]["labels"] == {"tier": "a"}, "a create's fields outlive an apply"
    await cluster.delete(SERVICE, made["metadata"]["name"], namespace, made["metadata"]["uid"])

    made = await cluster.create(service(namespace, labels={"tier": "a"}))
    owned = handed_over(made)
    assert owned is not None
    made = await cluster.set_managed_fields(made, owned)
    assert handed_over(made) is None
    applied = await cluster.apply(wished)
    assert "labels" not in applied["metadata"]
    assert handed_over(applied) is None
