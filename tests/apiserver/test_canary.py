"""A secret leaves no trace: not in log, event, status, metric, argument or environment."""

import json
import subprocess
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests.cluster import ControlPlane
from tests.world import World, workspaces
from tests.world.operator_process import Operator

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),
]

CANARY = "canary-5f1e0d7c"


def secret(name: str, **data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


async def traces(operator: Operator, populated: ControlPlane, world: World, team: str) -> str:
    """Return everything that the operator has let out, and what the process list shows."""
    assert isinstance(operator.process, subprocess.Popen)
    process = Path("/proc") / str(operator.process.pid)
    url = f"http://127.0.0.1:{operator.metrics_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        page = await answer.text()
    kinds = "workspaces,deployments,services,networkpolicies,events,pods,nodeclaims"
    written = populated.kubectl("get", kinds, "-n", team, "-o", "json").stdout
    events = await world.api.items(f"/apis/events.k8s.io/v1/namespaces/{team}/events")
    files = [(process / name).read_bytes().decode() for name in ("cmdline", "environ")]
    return "\n".join((operator.log.read_text(), page, written, json.dumps(events), *files))


async def test_neither_a_users_secret_nor_the_operators_token_comes_out(
    operator: Operator, world: World, populated: ControlPlane, team: str
) -> None:
    for each in (
        secret("hub", HF_TOKEN=CANARY),
        secret("registry", password=CANARY),
    ):
        populated.kubectl("apply", "-n", team, "-f", "-", text=json.dumps(each))
    asked = workspaces.workspace(team)
    asked["inference"]["preset"]["presetOptions"] = {
        "modelAccessSecret": "hub",
        "imagePullSecrets": ["registry"],
    }
    await world.api.create(workspaces.path(team), asked)
    await workspaces.in_phase(world.api, team, "mistral", "Ready")
    (pod,) = await world.api.items(f"/api/v1/namespaces/{team}/pods")
    model = world.kubelet.models[pod["metadata"]["name"]]
    model.answers_tokens = False
    await workspaces.eventually(
        world.api,
        workspaces.path(team, "mistral"),
        lambda found: found is not None and found["status"]["phase"] != "Ready",
    )

    users = yaml.safe_load(operator.kubeconfig.read_text())["users"]
    token = users[0]["user"]["token"]
    out = await traces(operator, populated, world, team)

    assert "mistral" in out, "there is something to search"
    assert "HF_TOKEN" in out, "it is given by reference"
    assert CANARY not in out
    assert len(token) > 20
    assert token not in out
