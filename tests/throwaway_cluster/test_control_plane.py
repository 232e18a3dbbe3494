"""The throw-away API server behaves as a real one: it is one."""

import signal
from pathlib import Path

import pytest

from tests.cluster import CommandError, ControlPlane
from tests.cluster import control_plane as run_control_plane

pytestmark = pytest.mark.apiserver


def config_map(namespace: str, **more: object) -> dict[str, object]:
    metadata = {"name": "settings", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **more}


def test_apply_takes_an_object_a_list_and_a_file(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    control_plane.apply(config_map(namespace, data={"a": "1"}))
    control_plane.apply([config_map(namespace, data={"a": "2"})])
    file = tmp_path / "one.yaml"
    file.write_text(
        f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: f, namespace: {namespace}}}}}"
    )
    control_plane.apply(file)
    maps = control_plane.read("get", "configmaps", "-n", namespace)["items"]
    assert {each["metadata"]["name"]: each.get("data") for each in maps} == {
        "settings": {"a": "2"},
        "f": None,
    }


def test_apply_refuses_a_field_that_the_api_does_not_know(
    control_plane: ControlPlane, namespace: str
) -> None:
    with pytest.raises(CommandError, match="dataa"):
        control_plane.apply(config_map(namespace, dataa={}))


def test_a_service_account_may_do_only_what_a_role_grants(
    control_plane: ControlPlane, namespace: str
) -> None:
    kubeconfig = control_plane.kubeconfig_for(namespace, "default")
    as_account = ("--kubeconfig", str(kubeconfig), "-n", namespace)
    refused = control_plane.kubectl("get", "configmaps", *as_account, check=False)
    assert "Forbidden" in refused.stderr
    rights = ("--verb=list", "--resource=configmaps")
    control_plane.kubectl("create", "role", "r", *rights, "-n", namespace)
    subject = f"--serviceaccount={namespace}:default"
    control_plane.kubectl("create", "rolebinding", "r", "--role=r", subject, "-n", namespace)
    assert control_plane.kubectl("get", "configmaps", *as_account).returncode == 0


def test_pod_security_restricted_is_enforced(control_plane: ControlPlane, namespace: str) -> None:
    level = "pod-security.kubernetes.io/enforce=restricted"
    control_plane.kubectl("label", "namespace", namespace, level)
    with pytest.raises(CommandError, match="runAsNonRoot"):
        control_plane.kubectl("run", "p", "--image=x", "-n", namespace)


def test_a_killed_api_server_comes_back_with_what_it_held() -> None:
    with run_control_plane() as plane:
        namespace = plane.create_namespace()
        plane.api_server.kill()
        assert plane.kubectl("get", "namespace", namespace, check=False).returncode != 0
        plane.restart_api_server()
        assert plane.read("get", "namespace", namespace)["status"]["phase"] == "Active"


def test_a_paused_etcd_fails_requests_until_it_goes_on() -> None:
    with run_control_plane() as plane:
        plane.etcd.signal(signal.SIGSTOP)
        stuck = plane.kubectl("create", "namespace", "late", "--request-timeout=1s", check=False)
        assert stuck.returncode != 0
        plane.etcd.signal(signal.SIGCONT)
        assert plane.create_namespace("afterwards") == "afterwards"


def test_two_control_planes_know_nothing_of_each_other_and_leave_nothing(
    control_plane: ControlPlane, namespace: str
) -> None:
    with run_control_plane() as second:
        assert second.server != control_plane.server
        assert second.kubectl("get", "namespace", namespace, check=False).returncode != 0
        directory, server = second.directory, second.api_server
        assert server.pid() is not None
    assert server.pid() is None
    assert not directory.exists()
    assert control_plane.read("get", "namespace", namespace)["status"]["phase"] == "Active"
