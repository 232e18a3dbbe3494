"""
What the demo rests on: a NodeClaim makes a node join, a restricted pod with a GPU runs on it and
answers through its Service, and the end of the claim takes the node away. Nothing is played but the
GPU.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import URLError

import pytest

from tests.cluster import machine as machines
from tests.cluster import machine_image, node_cluster
from tests.cluster.image_archive import ImageFile, ImageSettings, write_image
from tests.cluster.images_import import Progress, import_image
from tests.cluster.node_cluster import NodeCluster

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="real nodes need root"),
    pytest.mark.timeout(300),
]

IMAGE = "docker.io/atelier/python-test:1"
PORT = 8080
UNUSED = ("site-packages", "test", "idlelib", "tkinter", "ensurepip", "__pycache__", "config-")
ANSWER = f"""
import http.server, json, os, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({{"uid": os.getuid(), "node": os.environ["NODE"]}}).encode())
print("listening", flush=True)
http.server.ThreadingHTTPServer(("", {PORT}), Handler).serve_forever()
"""


def python_files() -> Iterator[ImageFile]:
    """This interpreter, its standard library and the libraries that they load, where they lie."""
    program = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    library = Path(sysconfig.get_path("stdlib"))
    modules = [
        path
        for path in library.rglob("*")
        if path.is_file() and not any(part.startswith(UNUSED) for part in path.parts)
    ]
    loaded = {program, *(path for path in modules if path.suffix == ".so")}
    listing = subprocess.run(  # noqa: S603 - the files above
        ["ldd", *map(str, sorted(loaded))],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    libraries = {Path(path) for path in re.findall(r"(/\S+) \(0x", listing)}
    for path in {program, *modules, *libraries}:
        yield ImageFile(path=PurePosixPath(path), content=path.resolve())


def fetch(url: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Ask until kube-proxy has heard of the endpoint, which takes it a second."""
    give_up = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http
                return json.load(answer)
        except URLError:
            assert time.monotonic() < give_up
            time.sleep(0.1)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("image") / "python.tar"
    program = str(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))
    settings = ImageSettings(name=IMAGE, entrypoint=(program, "-c"), user="1000:1000")
    write_image(target, settings, python_files())
    return target


@pytest.fixture(scope="module")
def cluster() -> Iterator[NodeCluster]:
    with node_cluster.node_cluster(f"test-{os.getpid()}-pods") as running:
        yield running


def claim(name: str, instance_type: str = "Standard_NC24ads_A100_v4") -> dict[str, Any]:
    requirement = {"key": "node.kubernetes.io/instance-type", "operator": "In"}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {"name": name, "labels": {"apps": "mistral", "karpenter.sh/nodepool": "kaito"}},
        "spec": {
            "nodeClassRef": {"group": "kaito.sh", "kind": "KaitoNodeClass", "name": "default"},
            "requirements": [requirement | {"values": [instance_type]}],
            "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
            "resources": {"requests": {"storage": "93Gi", "nvidia.com/gpu": "1"}},
        },
    }


def pod(name: str, node: str, **limits: str) -> dict[str, Any]:
    """A pod that Pod Security "restricted" admits."""
    container = {
        "name": "web",
        "image": IMAGE,
        "args": [ANSWER],
        "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "resources": {"limits": {"memory": "128Mi", "cpu": "500m"} | limits},
        "readinessProbe": {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "web", "labels": {"app": name}},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [container],
            "nodeSelector": {"kubernetes.io/hostname": node},
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "terminationGracePeriodSeconds": 1,
            "tolerations": [{"key": "sku", "operator": "Exists"}],
        },
    }


def service(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "web"},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": PORT}]},
    }


@pytest.fixture(scope="module")
def web(cluster: NodeCluster, archive: Path) -> str:
    """A pod with a GPU on a node that a claim brought, whose disk held the image already."""
    plane = cluster.plane
    image = machine_image.make(cluster.directory, cluster.block, [archive])
    assert IMAGE in image.names()
    machine_image.choose(cluster.directory, image)
    plane.apply(claim("wsgpu"))
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}}
    namespace["metadata"] = {"name": "web", "labels": labels}
    plane.apply(namespace)
    plane.kubectl("wait", "nodeclaim/wsgpu", "--for=condition=Ready", "--timeout=45s")
    plane.apply([pod("gpu", "wsgpu", **{"nvidia.com/gpu": "1"}), service("gpu")])
    plane.kubectl("wait", "pod/gpu", "-n", "web", "--for=condition=Ready", "--timeout=45s")
    return "gpu"


def test_the_host_reaches_the_pod_through_its_service(cluster: NodeCluster, web: str) -> None:
    assert fetch(cluster.service_url("web", web)) == {"uid": 1000, "node": "wsgpu"}


def test_another_node_reaches_the_pod_through_its_service(
    cluster: NodeCluster, web: str, archive: Path
) -> None:
    plane, seen = cluster.plane, list[Progress]()
    assert import_image(cluster.machine("system"), archive, seen.append) == [IMAGE]
    assert seen[-1].bytes_read == seen[-1].bytes_total == archive.stat().st_size
    plane.apply(pod("client", "system"))
    plane.kubectl("wait", "pod/client", "-n", "web", "--for=condition=Ready", "--timeout=45s")
    url = cluster.service_url("web", web)
    ask = f"import urllib.request as u; print(u.urlopen({url!r}).read().decode())"
    program = str(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))
    told = plane.kubectl("exec", "-n", "web", "client", "--", program, "-c", ask).stdout
    assert json.loads(told)["node"] == "wsgpu"


def test_names_do_not_resolve_and_say_so(cluster: NodeCluster, web: str) -> None:
    program = str(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))
    ask = "import socket; socket.getaddrinfo('kubernetes.default', 443)"
    command = ["exec", "-n", "web", web, "--", program, "-c", ask]
    told = cluster.plane.kubectl(*command, check=False)
    assert "gaierror" in told.stderr


def test_logs_come_from_the_kubelet(cluster: NodeCluster, web: str) -> None:
    assert cluster.plane.kubectl("logs", "-n", "web", web).stdout.startswith("listening")


def test_nothing_gets_out_of_the_cluster(cluster: NodeCluster) -> None:
    with pytest.raises(RuntimeError, match="No route to host"):
        cluster.machine("system").run("ip", "route", "get", "1.1.1.1")


def test_a_second_pod_waits_for_a_gpu_that_is_taken(cluster: NodeCluster, web: str) -> None:
    assert web
    cluster.plane.apply(pod("second", "wsgpu", **{"nvidia.com/gpu": "1"}))
    unscheduled = "jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}=Unschedulable"
    cluster.plane.kubectl("wait", "-n", "web", "pod/second", f"--for={unscheduled}")


def test_the_end_of_the_claim_takes_the_node_and_the_machine_away(
    cluster: NodeCluster, web: str
) -> None:
    assert web
    cluster.plane.kubectl("delete", "nodeclaim", "wsgpu", "--timeout=45s")
    assert cluster.plane.kubectl("get", "node", "wsgpu", check=False).returncode != 0
    assert [machine.name for machine in machines.machines(cluster.directory)] == ["system"]
