"""
The real Karpenter beside a control plane, in front of a cloud whose machines are made up.

Karpenter's own kwok provider launches a "machine" by making a Node object. No kubelet stands behind
it, so the node is never Ready by itself: a test decides when it is and when its GPU shows, and sees
what Karpenter makes of it. Everything else (conditions, time limits, finalizers, deletion of claims
that cannot be had) is Karpenter as it runs anywhere.
"""

import http.client
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.binaries import binary
from tests.cluster.control_plane import ControlPlane
from tests.cluster.go_modules import module_source, pinned_version
from tests.cluster.instance_types import GPU_INSTANCE_TYPES, InstanceType, kwok_instance_types
from tests.cluster.ports import free_ports
from tests.cluster.processes import Process, start
from tests.cluster.surroundings import cache_directory

MODULE = "sigs.k8s.io/karpenter"
PROGRAM = "karpenter-kwok"
CRD_FOLDERS = ("pkg/apis/crds", "kwok/apis/crds")
READY_SECONDS = 40
NODE_CLASS = {
    "apiVersion": "karpenter.kwok.sh/v1alpha1",
    "kind": "KWOKNodeClass",
    "metadata": {"name": "default"},
}


def karpenter_crds() -> list[Path]:
    """Return Karpenter's CustomResourceDefinitions, at the version that go/karpenter pins."""
    folder = cache_directory() / "crds" / f"karpenter-{pinned_version('karpenter', MODULE)}"
    if not folder.exists():
        source = module_source("karpenter", MODULE)
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for path in (path for below in CRD_FOLDERS for path in (source / below).glob("*.yaml")):
            shutil.copyfile(path, partial / path.name)
        partial.replace(folder)
    return sorted(folder.glob("*.yaml"))


def start_karpenter(
    plane: ControlPlane, instance_types: Iterable[InstanceType] = GPU_INSTANCE_TYPES
) -> Process:
    """
    Start Karpenter with the kwok provider, its definitions and a KWOKNodeClass `default`.

    Raises:
        NotReadyError: it ended or was not ready in time; the message has its log's tail.
    """
    for path in karpenter_crds():
        plane.apply(path)
    plane.apply(NODE_CLASS)
    offered = plane.directory / "instance-types.json"
    offered.write_text(json.dumps(kwok_instance_types(instance_types), indent=1))
    metrics_port, health_port = free_ports(2, host="0.0.0.0")  # noqa: S104 - it listens on all
    process = start(
        plane.directory,
        PROGRAM,
        [binary(PROGRAM)],
        {
            "KUBECONFIG": str(plane.kubeconfig),
            "SYSTEM_NAMESPACE": "kube-system",
            "DISABLE_LEADER_ELECTION": "true",
            "METRICS_PORT": str(metrics_port),
            "HEALTH_PROBE_PORT": str(health_port),
            "INSTANCE_TYPES_FILE_PATH": str(offered),
        },
    )
    process.wait_until(lambda: _is_ready(health_port), what="ready", deadline_seconds=READY_SECONDS)
    return process


@contextmanager
def karpenter(
    plane: ControlPlane, instance_types: Iterable[InstanceType] = GPU_INSTANCE_TYPES
) -> Iterator[Process]:
    """Run Karpenter for the length of a `with`; arguments as for `start_karpenter`."""
    process = start_karpenter(plane, instance_types)
    try:
        yield process
    finally:
        process.stop()


def node_of_claim(plane: ControlPlane, claim: str) -> str | None:
    """Return the name of the node that a NodeClaim got, or None as long as there is none."""
    status = plane.read("get", "nodeclaim", claim).get("status", {})
    name = status.get("nodeName")
    return str(name) if name else None


def make_node_ready(plane: ControlPlane, node: str, *, gpus: int) -> None:
    """
    Play the kubelet and the device plugin of a made-up node.

    Args:
        plane: where the node is.
        node: its name.
        gpus: how many `nvidia.com/gpu` it shows; 0 for a device plugin that is not there yet.
    """
    shown = {"nvidia.com/gpu": str(gpus) if gpus else None}
    condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "played"}
    status = {"conditions": [condition], "capacity": shown, "allocatable": shown}
    _patch(plane, node, {"status": status}, "--subresource=status", "--type=merge")
    # Every new node is born with this taint, and the controller that takes it away is not there.
    plane.kubectl("taint", "node", node, "node.kubernetes.io/not-ready-", check=False)


def _patch(plane: ControlPlane, node: str, patch: object, *how: str) -> None:
    plane.kubectl("patch", "node", node, *how, f"--patch={json.dumps(patch)}")


def _is_ready(health_port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", health_port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
