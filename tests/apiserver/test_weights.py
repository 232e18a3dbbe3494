"""Weights from elsewhere than the image, on a real API server: what is made, and what is told."""

import asyncio

import pytest

from tests.world import World, workspaces
from tests.world.api import Manifest
from tests.world.model import Model
from tests.world.operator_process import Operator

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),  # the first test of a run starts everything
]

TOTAL = 14_483_464_192


def with_weights(team: str, source: str, name: str = "mistral") -> Manifest:
    made = workspaces.workspace(team, name)
    made["metadata"]["annotations"] = {"atelier.dev/weights": source}
    return made


async def model_of(world: World, name: str) -> Model:
    """Wait until a pod of a Workspace has an address."""
    async with asyncio.timeout(workspaces.PATIENCE_SECONDS):
        while True:
            for pod, model in world.kubelet.models.items():
                if pod.startswith(name):
                    return model
            await asyncio.sleep(0.05)


async def test_a_missing_claim_is_named_and_the_pod_starts_when_it_comes(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    await world.api.create(workspaces.path(team), with_weights(team, "pvc:models/mistral", "vol"))
    found = await workspaces.with_reason(world.api, team, "vol", "VolumesMissing")
    ready = workspaces.condition(found, "Ready")["message"]
    assert f"PersistentVolumeClaim models, which is not in namespace {team}" in ready

    claim = {
        "metadata": {"name": "models", "namespace": team},
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "storageClassName": "shared",
            "resources": {"requests": {"storage": "20Gi"}},
        },
    }
    await world.api.create(f"/api/v1/namespaces/{team}/persistentvolumeclaims", claim)
    await workspaces.in_phase(world.api, team, "vol", "Ready")
    deployment = await world.api.get(workspaces.deployment_path(team, "vol"))
    assert deployment
    spec = deployment["spec"]["template"]["spec"]
    (volume,) = (each for each in spec["volumes"] if each["name"] == "weights")
    assert volume["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}


async def test_weights_on_their_way_are_counted_and_a_refusal_is_told_by_name(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    await world.api.create(workspaces.path(team), with_weights(team, "fetch", "far"))
    model = await model_of(world, "far")
    model.loaded, model.speed = TOTAL // 4, 100_000_000

    def is_counted(found: Manifest | None) -> bool:
        # The first answer may be from before the fetch was a quarter done.
        status = (found or {}).get("status", {})
        return bool(status.get("download", {}).get("bytesPerSecond"))

    found = await workspaces.eventually(world.api, workspaces.path(team, "far"), is_counted)
    assert found
    status = found["status"]
    assert status["phase"] == "FetchingWeights"
    assert status["download"] == {
        "bytes": TOTAL // 4,
        "totalBytes": TOTAL,
        "bytesPerSecond": 100_000_000,
        "secondsLeft": 109,
    }
    assert status["progress"] == "25 % of 13.5 GiB, 109 s left"
    assert workspaces.condition(found, "ImagePulled")["status"] == "True"

    model.fetch_end = 10, "HTTP 403: no access; accept the model's terms and give a token"
    found = await workspaces.with_reason(world.api, team, "far", "ModelAccessDenied")
    assert "HTTP 403: no access" in workspaces.condition(found, "Ready")["message"]
    assert workspaces.condition(found, "Stalled")["status"] == "True"

    model.fetch_end = None
    await workspaces.in_phase(world.api, team, "far", "FetchingWeights")
    model.phase = "ready"
    found = await workspaces.in_phase(world.api, team, "far", "Ready")
    assert found["status"]["startup"]["weightsFetched"] >= 0
    assert "download" not in found["status"]
