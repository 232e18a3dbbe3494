"""A start that cannot work is one sentence; a stop is clean and gives the Lease back."""

import asyncio
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
import yaml
from workspace_operator.settings import documented

from tests.cluster import ControlPlane
from tests.world import World
from tests.world.operator_process import NAMESPACE, RELEASE, Operator

LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
SHARED = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),  # the first test of a run starts everything
]


def start(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "workspace_operator", *arguments],
        env={"HOME": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def last_line(done: "subprocess.CompletedProcess[str]") -> str:
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_help_lists_every_setting() -> None:
    done = start("--help")
    assert done.returncode == 0
    for setting in documented():
        assert setting.metadata["variable"] in done.stdout


def test_a_bad_setting_is_one_sentence() -> None:
    done = start(ATELIER_CLOUD="moon")
    assert done.returncode == 2
    assert done.stderr == (
        "workspace_operator: ATELIER_CLOUD='moon': use one of azure, aws, gcp, kwok\n"
    )


def test_a_broken_preset_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text("name: odd\n")
    done = start(ATELIER_PRESET_DIRECTORY=str(tmp_path))
    assert done.returncode == 2
    assert "odd.yaml" in last_line(done)


def test_no_credentials_are_one_sentence(tmp_path: Path) -> None:
    done = start(KUBECONFIG=str(tmp_path / "missing"))
    assert done.returncode == 1
    assert "set KUBECONFIG" in last_line(done)


def test_nobody_at_the_address_is_one_sentence(tmp_path: Path) -> None:
    cluster = {"name": "x", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "x", "context": {"cluster": "x", "user": "x"}}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "users": [{"name": "x", "user": {"token": "x"}}],
        "contexts": [context],
        "current-context": "x",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    done = start(KUBECONFIG=str(path))
    assert done.returncode == 1
    assert "the API server cannot be used" in last_line(done)


@pytest.mark.apiserver
@pytest.mark.timeout(180)  # may start the control plane
def test_a_cluster_without_the_definition_is_one_sentence(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    nowhere = yaml.safe_load(control_plane.kubeconfig.read_text())
    server = nowhere["clusters"][0]["cluster"]["server"]
    nowhere["clusters"][0]["cluster"]["server"] = f"{server}/no/such/root"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(nowhere))
    done = start(KUBECONFIG=str(path))
    assert done.returncode == 1
    assert "install the CustomResourceDefinition" in last_line(done)


class TestLeadership:
    pytestmark = SHARED

    @staticmethod
    def another(
        populated: ControlPlane, environment: dict[str, str], log: Path, name: str
    ) -> Operator:
        own = {**environment, "ATELIER_LEASE_NAME": f"{environment['ATELIER_LEASE_NAME']}"}
        return Operator(
            kubeconfig=populated.kubeconfig_for(NAMESPACE, RELEASE),
            environment=own,
            log=log,
            name=name,
        )

    async def test_a_second_operator_stands_by_healthy_and_idle(
        self,
        operator: Operator,
        world: World,
        populated: ControlPlane,
        chart_environment: dict[str, str],
        tmp_path: Path,
    ) -> None:
        second = self.another(populated, chart_environment, tmp_path / "log", "operator-1")
        second.start()
        try:
            while not await answers(second):
                assert second.runs, second.log.read_text()
            lease = await world.api.get(f"{LEASE}/{chart_environment['ATELIER_LEASE_NAME']}")
            assert lease is not None
            assert lease["spec"]["holderIdentity"].startswith(operator.name)
            assert await second.metric("atelier_lease_held") == 0
            assert await second.writes() == 0
        finally:
            assert second.stop() == 0, "a follower stops cleanly too"
        assert operator.runs


async def answers(operator: Operator) -> bool:
    url = f"http://127.0.0.1:{operator.health_port}/healthz"
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        await asyncio.sleep(0.1)
        return False
