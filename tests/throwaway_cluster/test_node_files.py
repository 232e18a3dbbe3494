"""What a machine is configured with: parsed back, and compared between machines."""

import json
import tomllib
from pathlib import Path

import pytest

from tests.cluster.image_archive import SANDBOX_IMAGE
from tests.cluster.network import Block
from tests.cluster.node_files import (
    KubeletSettings,
    Taint,
    cni_config,
    containerd_config,
    free_number,
    kubelet_config,
    kubelet_may_set,
    node_labels,
    other_labels,
)

BLOCK = Block(index=0)


def settings(number: int) -> KubeletSettings:
    return KubeletSettings(
        number=number,
        block=BLOCK,
        cgroup=f"atelier-x/{number}",
        provider_id=f"local:///{number}",
        taints=(Taint(key="sku", value="gpu"),),
    )


def test_containerd_uses_our_sandbox_and_the_paths_given() -> None:
    config = tomllib.loads(containerd_config(Path("/usr/sbin/runc"), Path("/usr/lib/cni")))
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["sandbox_image"] == SANDBOX_IMAGE
    assert cri["cni"]["bin_dir"] == "/usr/lib/cni"
    runc = cri["containerd"]["runtimes"]["runc"]
    assert runc["options"]["BinaryName"] == "/usr/sbin/runc"
    assert "runtime_path" not in runc  # the shim on the PATH is the installed containerd's


def test_another_containerd_starts_its_own_shim() -> None:
    shim = Path("/cache/containerd-shim-runc-v2")
    config = tomllib.loads(containerd_config(Path("/usr/sbin/runc"), Path("/usr/lib/cni"), shim))
    runc = config["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"]["runc"]
    assert runc["runtime_path"] == str(shim)
    assert runc["options"]["BinaryName"] == "/usr/sbin/runc"


def test_two_nodes_share_no_bridge_no_subnet_and_no_port() -> None:
    plugins = [json.loads(cni_config(BLOCK, number))["plugins"][0] for number in (0, 1)]
    assert plugins[0]["bridge"] != plugins[1]["bridge"]
    assert plugins[0]["ipam"]["ranges"] != plugins[1]["ipam"]["ranges"]
    kubelets = [json.loads(kubelet_config(settings(number))) for number in range(BLOCK.max_nodes)]
    ports = [kubelet[name] for kubelet in kubelets for name in ("port", "healthzPort")]
    assert len(set(ports)) == len(ports)


def test_the_kubelet_lets_nobody_in_without_asking_the_api_server() -> None:
    config = json.loads(kubelet_config(settings(1)))
    assert config["authentication"]["anonymous"] == {"enabled": False}
    assert config["authorization"] == {"mode": "Webhook"}
    assert config["readOnlyPort"] == 0


def test_the_kubelet_never_collects_images_that_cannot_be_pulled_again() -> None:
    assert json.loads(kubelet_config(settings(1)))["imageGCHighThresholdPercent"] == 100


def test_the_kubelet_registers_with_identity_and_taints() -> None:
    config = json.loads(kubelet_config(settings(1)))
    assert config["providerID"] == "local:///1"
    assert config["cgroupRoot"] == "/atelier-x/1"
    assert config["registerWithTaints"] == [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]


@pytest.mark.parametrize(
    ("label", "allowed"),
    [
        ("apps", True),
        ("kaito.sh/workspace", True),
        ("karpenter.sh/nodepool", True),
        ("node.kubernetes.io/instance-type", True),
        ("kubernetes.io/os", True),
        ("topology.kubernetes.io/zone", True),
        ("node-role.kubernetes.io/gpu", False),
        ("kubernetes.io/role", False),
        ("example.k8s.io/x", False),
        ("notkubernetes.io/x", True),
    ],
)
def test_labels_that_a_kubelet_may_set(label: str, allowed: bool) -> None:  # noqa: FBT001 - a table
    assert kubelet_may_set(label) is allowed


def test_every_label_is_set_by_exactly_one_way() -> None:
    labels = {"apps": "mistral", "node-role.kubernetes.io/gpu": "", "kubernetes.io/os": "linux"}
    assert node_labels(labels) == "apps=mistral,kubernetes.io/os=linux"
    assert other_labels(labels) == {"node-role.kubernetes.io/gpu": ""}


def test_numbers_are_taken_from_the_lowest_free_one() -> None:
    assert free_number([], BLOCK) == 0
    assert free_number([0, 2], BLOCK) == 1
    with pytest.raises(ValueError, match="12 nodes are there"):
        free_number(range(12), BLOCK)
