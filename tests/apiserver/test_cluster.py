"""The port to the API server, against a real one: what each verb does, what each error means."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from workspace_operator.cluster import (
    ApiServer,
    Conflict,
    Connection,
    Forbidden,
    Gone,
    Invalid,
    Kind,
    Manifest,
    Unreachable,
)
from workspace_operator.cluster.kinds import DEPLOYMENT, NODE, SERVICE

from tests.cluster import ControlPlane

pytestmark = pytest.mark.apiserver

UNSERVED = Kind(api_version="example.org/v1", kind="Nothing", plural="nothings")


class Guard:
    """Refuse writes when told to, and remember those that passed."""

    def __init__(self) -> None:
        self.closed = False
        self.writes: list[tuple[str, str]] = []

    def __call__(self) -> None:
        if self.closed:
            message = "not ours"
            raise PermissionError(message)

    def count(self, verb: str, kind: str) -> None:
        self.writes.append((verb, kind))


@pytest.fixture
def guard() -> Guard:
    return Guard()


@pytest.fixture
async def connection(control_plane: ControlPlane) -> AsyncIterator[Connection]:
    connection = Connection(str(control_plane.kubeconfig), on_answer=lambda: None)
    await connection.open()
    yield connection
    await connection.close()


@pytest.fixture
def cluster(connection: Connection, guard: Guard) -> ApiServer:
    return ApiServer(connection, guard=guard, count_write=guard.count)


def service(namespace: str, name: str = "web", **metadata: object) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {"ports": [{"port": 80}], "selector": {"app": name}},
    }


def deployment(namespace: str, replicas: int = 1) -> Manifest:
    labels = {"app": "web"}
    container = {"name": "web", "image": "example/web:1"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


async def test_apply_creates_and_a_second_one_changes_nothing(
    cluster: ApiServer, namespace: str, guard: Guard
) -> None:
    first = await cluster.apply(service(namespace))
    second = await cluster.apply(service(namespace))
    assert first["metadata"]["uid"] == second["metadata"]["uid"]
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    assert guard.writes == [("patch", "Service")] * 2


async def test_apply_takes_our_fields_back_and_leaves_those_of_others(
    cluster: ApiServer, namespace: str, control_plane: ControlPlane
) -> None:
    await cluster.apply(deployment(namespace, replicas=1))
    control_plane.kubectl("-n", namespace, "scale", "deployment/web", "--replicas=5")
    control_plane.kubectl("-n", namespace, "annotate", "deployment/web", "team=blue")
    restored = await cluster.apply(deployment(namespace, replicas=1))
    assert restored["spec"]["replicas"] == 1
    assert restored["metadata"]["annotations"]["team"] == "blue"


async def test_apply_with_a_uid_never_brings_a_ghost_to_life(
    cluster: ApiServer, namespace: str
) -> None:
    made = await cluster.apply(service(namespace))
    uid = made["metadata"]["uid"]
    await cluster.delete(SERVICE, "web", namespace, uid)
    with pytest.raises(Conflict):
        await cluster.apply(service(namespace, uid=uid))
    assert await cluster.find(SERVICE, "web", namespace) is None


async def test_status_has_a_manager_of_its_own(cluster: ApiServer, namespace: str) -> None:
    await cluster.apply(deployment(namespace))
    head = {"apiVersion": "apps/v1", "kind": "Deployment"}
    metadata = {"name": "web", "namespace": namespace}
    await cluster.apply_status({**head, "metadata": metadata, "status": {"replicas": 3}})
    after = await cluster.apply(deployment(namespace))
    assert after["status"]["replicas"] == 3
    assert {entry["manager"] for entry in after["metadata"]["managedFields"]} == {
        "atelier",
        "atelier-status",
    }


async def test_status_of_what_is_gone_is_gone(cluster: ApiServer, namespace: str) -> None:
    gone = {"name": "web", "namespace": namespace}
    with pytest.raises(Gone, match="PATCH /apis/apps/v1/namespaces"):
        await cluster.apply_status({**deployment(namespace), "metadata": gone})


async def test_delete_only_this_life(cluster: ApiServer, namespace: str) -> None:
    made = await cluster.apply(service(namespace))
    with pytest.raises(Conflict):
        await cluster.delete(SERVICE, "web", namespace, "another-uid")
    await cluster.delete(SERVICE, "web", namespace, made["metadata"]["uid"])
    await cluster.delete(SERVICE, "web", namespace, made["metadata"]["uid"])
    assert await cluster.find(SERVICE, "web", namespace) is None


async def test_finalizers_are_replaced_on_what_was_read_only(
    cluster: ApiServer, namespace: str
) -> None:
    made = await cluster.apply(service(namespace))
    held = await cluster.set_finalizers(made, ("example.org/one",))
    assert held["metadata"]["finalizers"] == ["example.org/one"]
    with pytest.raises(Conflict):
        await cluster.set_finalizers(made, ())
    freed = await cluster.set_finalizers(held, ())
    assert "finalizers" not in freed["metadata"]


async def test_create_and_replace_refuse_to_overwrite(cluster: ApiServer, namespace: str) -> None:
    made = await cluster.create(service(namespace))
    with pytest.raises(Conflict):
        await cluster.create(service(namespace))
    made["spec"]["selector"] = {"app": "new"}
    await cluster.replace(made)
    made["spec"]["selector"] = {"app": "late"}
    with pytest.raises(Conflict):
        await cluster.replace(made)


async def test_list_follows_labels_and_pages_and_names_the_kind(
    cluster: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        await cluster.apply(service(namespace, name, labels={"team": "blue"}))
    await cluster.apply(service(namespace, "other"))
    monkeypatch.setattr("workspace_operator.cluster.api_server.PAGE", "2")
    found = await cluster.list(SERVICE, namespace=namespace, labels="team=blue")
    assert [item["metadata"]["name"] for item in found] == ["a", "b", "c"]
    assert {(item["apiVersion"], item["kind"]) for item in found} == {("v1", "Service")}
    assert await cluster.list(NODE, labels="no=such") == []


async def test_a_list_from_the_cache_finds_the_same_names(
    cluster: ApiServer, namespace: str
) -> None:
    made = await cluster.apply(service(namespace, labels={"team": "blue"}))
    while not (
        found := await cluster.list(SERVICE, namespace=namespace, labels="team=blue", fresh=False)
    ):
        pass
    assert [item["metadata"]["uid"] for item in found] == [made["metadata"]["uid"]]


async def test_a_kind_that_is_not_served_is_gone(cluster: ApiServer) -> None:
    with pytest.raises(Gone):
        await cluster.list(UNSERVED)


async def test_what_the_schema_refuses_is_invalid(cluster: ApiServer, namespace: str) -> None:
    broken = service(namespace)
    broken["spec"]["ports"][0]["port"] = 0
    with pytest.raises(Invalid, match="Invalid value: 0"):
        await cluster.apply(broken)


async def test_a_terminating_namespace_is_told_from_a_missing_permission(
    cluster: ApiServer, control_plane: ControlPlane, namespace: str
) -> None:
    made = control_plane.create_namespace()
    held = await cluster.apply(service(made))
    await cluster.set_finalizers(held, ("example.org/stay",))
    control_plane.kubectl("delete", "namespace", made, "--wait=false")
    with pytest.raises(Forbidden) as terminating:
        await cluster.apply(deployment(made))
    assert terminating.value.namespace_is_terminating

    nobody = Connection(
        str(control_plane.kubeconfig_for(namespace, "default")), on_answer=lambda: None
    )
    await nobody.open()
    try:
        weak = ApiServer(nobody, guard=lambda: None, count_write=lambda _verb, _kind: None)
        with pytest.raises(Forbidden, match="cannot") as refused:
            await weak.find(DEPLOYMENT, "web", namespace)
    finally:
        await nobody.close()
    assert not refused.value.namespace_is_terminating


async def test_a_rotated_token_is_read_again(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    good = yaml.safe_load(control_plane.kubeconfig.read_text())
    stale = yaml.safe_load(control_plane.kubeconfig.read_text())
    stale["users"][0]["user"] = {"token": "expired"}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(stale))
    connection = Connection(str(path), on_answer=lambda: None)
    await connection.open()
    try:
        cluster = ApiServer(connection, guard=lambda: None, count_write=lambda _verb, _kind: None)
        with pytest.raises(Forbidden) as refused:
            await cluster.find(SERVICE, "web", namespace)
        assert refused.value.credentials_are_stale
        path.write_text(yaml.safe_dump(good))
        made = await cluster.apply(service(namespace))
    finally:
        await connection.close()
    assert made["metadata"]["name"] == "web"


async def test_a_closed_guard_lets_nothing_out(
    cluster: ApiServer, namespace: str, guard: Guard
) -> None:
    made = await cluster.apply(service(namespace))
    guard.closed = True
    for write in (
        cluster.apply(service(namespace)),
        cluster.apply_status(deployment(namespace)),
        cluster.create(service(namespace, "b")),
        cluster.replace(made),
        cluster.set_finalizers(made, ()),
        cluster.delete(SERVICE, "web", namespace, made["metadata"]["uid"]),
    ):
        with pytest.raises(PermissionError):
            await write
    assert len(guard.writes) == 1
    assert await cluster.find(SERVICE, "web", namespace) is not None


async def test_nobody_at_the_address_is_unreachable(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workspace_operator.cluster.connection.FIRST_PAUSE_SECONDS", 0.001)
    config = yaml.safe_load(control_plane.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    connection = Connection(str(path), on_answer=lambda: None)
    await connection.open()
    try:
        cluster = ApiServer(connection, guard=lambda: None, count_write=lambda _verb, _kind: None)
        with pytest.raises(Unreachable, match="GET /api/v1/nodes"):
            await cluster.list(NODE)
    finally:
        await connection.close()
