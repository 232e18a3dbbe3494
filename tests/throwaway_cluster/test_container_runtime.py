"""Which containerd the machines of a cluster start."""

from pathlib import Path

import pytest

from tests.cluster import container_runtime
from tests.cluster.container_runtime import ContainerRuntime, choose_version_2, chosen


def test_machines_start_the_installed_containerd_until_another_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen(tmp_path) == ContainerRuntime(containerd=None, shim=None)
    monkeypatch.setattr(
        container_runtime, "ensure", lambda names: {name: Path("/cache") / name for name in names}
    )
    choose_version_2(tmp_path)
    assert chosen(tmp_path) == ContainerRuntime(
        containerd=Path("/cache/containerd"), shim=Path("/cache/containerd-shim-runc-v2")
    )
