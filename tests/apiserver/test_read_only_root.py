"""
The operator lives on a root file system that it cannot write, as the chart has it.

All tests of this folder that share the session's operator run against one that is confined so; here
is held that it is, and that a Workspace came up and went under it.
"""

import subprocess
from pathlib import Path

import pytest

from tests.world import World, workspaces
from tests.world.operator_process import Operator
from tests.world.read_only import can_be_read_only, seen_by

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),  # the first test of a run starts everything
]


async def test_it_works_without_a_place_to_write_and_leaves_next_to_nothing_in_tmp(
    operator: Operator, world: World, team: str
) -> None:
    if not can_be_read_only():
        pytest.skip("needs root, mount namespaces, and a checkout outside of /tmp")
    assert isinstance(operator.process, subprocess.Popen)
    pid = operator.process.pid

    await world.api.create(workspaces.path(team), workspaces.workspace(team))
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    await world.api.delete(workspaces.path(team, "mistral"))
    await workspaces.gone(world.api, workspaces.path(team, "mistral"))

    for place in ("/", str(Path.home()), "/var", "/mnt"):
        refused = seen_by(pid, f"touch {place}/written")
        assert "Read-only file system" in refused.stderr, place
    process = Path("/proc") / str(pid)
    status = (process / "status").read_bytes().decode()
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    environment = (process / "environ").read_bytes().decode().split("\0")
    assert "HOME=/tmp" in environment, "as Dockerfile.operator has it"
    left = seen_by(pid, "sh -c 'cat /tmp/* /tmp/.[!.]*'").stdout
    kept = [line for line in left.splitlines() if line.startswith("-----BEGIN")]
    assert set(kept) <= {"-----BEGIN CERTIFICATE-----"}, "the CA of a kubeconfig; a pod has a file"
    assert len(left) < 10_000
