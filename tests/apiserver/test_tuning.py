"""A tuning from its manifest to an adapter, on a real API server with the real Job controller."""

import asyncio
import time

import pytest

from tests.world import World, workspaces
from tests.world.api import Manifest
from tests.world.operator_process import Operator
from tests.world.training import Training

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),  # the first test of a run starts everything
]

FIGURES = {"step": 20, "steps": 100, "loss": 1.25, "first_loss": 4.5, "seconds_left": 77.2}
CONFIG = "lora-params"


def tuning(team: str, name: str, **changed: object) -> Manifest:
    manifest = workspaces.workspace(team, name)
    del manifest["inference"]
    return manifest | {
        "tuning": {
            "preset": {"name": "mistral-7b-instruct"},
            "method": "lora",
            "input": {"urls": ["https://example.com/data.parquet"]},
            "output": {"image": "registry.example.com/out:1", "imagePushSecret": "push"},
            **changed,
        }
    }


def job_path(team: str, name: str) -> str:
    return f"/apis/batch/v1/namespaces/{team}/jobs/{name}"


async def training_of(world: World, team: str, name: str) -> Training:
    """
    Wait until the pod of a Job runs.

    A Job of the same name as one that failed a moment ago is given its pod after up to ten seconds,
    which the Job controller counts by name; so this takes longer than anything else here.
    """
    deadline = time.monotonic() + 2 * workspaces.PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for pod, training in world.kubelet.trainings.items():
            if pod.startswith(name) and not training.ended.is_set():
                return training
        await asyncio.sleep(0.05)
    found = [
        *await world.api.items(workspaces.path(team)),
        *await world.api.items(f"/apis/batch/v1/namespaces/{team}/jobs"),
        *await world.api.items(f"/api/v1/namespaces/{team}/pods"),
    ]
    message = f"no pod of Job {team}/{name} runs: {found}"
    raise TimeoutError(message)


async def config(world: World, team: str, text: str) -> None:
    manifest = {
        "metadata": {"name": CONFIG, "namespace": team},
        "data": {"training_config.yaml": text},
    }
    await world.api.create(f"/api/v1/namespaces/{team}/configmaps", manifest)


async def test_from_the_manifest_to_the_adapter(
    operator: Operator, world: World, team: str
) -> None:
    await world.api.create(workspaces.path(team), tuning(team, "tuner"))
    training = await training_of(world, team, "tuner")
    training.figures = {"phase": "training", **FIGURES}
    found = await workspaces.in_phase(world.api, team, "tuner", "Training")
    status = found["status"]
    assert status["state"] == "Running"
    assert workspaces.condition(found, "JobStarted")["reason"] == "WorkspaceTuningJobStatusStarted"
    assert status["tuning"]["loss"] == 1.25
    assert status["progress"] == "step 20 of 100, loss 1.25, 77 s left"

    training.figures |= {"step": 100, "loss": 0.5}
    training.succeed()
    done = await workspaces.in_phase(world.api, team, "tuner", "Succeeded")
    assert done["status"]["state"] == "Succeeded"
    assert workspaces.condition(done, "WorkspaceSucceeded")["reason"] == "workspaceSucceeded"
    assert done["status"]["tuning"]["loss"] == 0.5
    assert await workspaces.claims(world.api, team, "tuner"), "machines stay, as KAITO keeps them"
    assert operator.runs

    await world.api.delete(workspaces.path(team, "tuner"))
    await workspaces.gone(world.api, workspaces.path(team, "tuner"))
    await workspaces.gone(world.api, job_path(team, "tuner"))


async def test_what_cannot_be_done_is_told_in_the_programs_words_and_not_repeated(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    await world.api.create(workspaces.path(team), tuning(team, "wrong"))
    (await training_of(world, team, "wrong")).end(
        1, "LoraConfig.rr: 8: unknown key; did you mean r?"
    )
    found = await workspaces.with_reason(world.api, team, "wrong", "TrainingRefused")
    assert "did you mean r?" in workspaces.condition(found, "Ready")["message"]
    assert found["status"]["state"] == "Failed"
    job = await workspaces.eventually(
        world.api,
        job_path(team, "wrong"),
        lambda found: found is not None and bool(workspaces.condition(found, "Failed")),
    )
    assert job
    assert job["status"]["failed"] == 1

    mended = {"tuning": {"input": {"urls": ["https://example.com/other.parquet"]}}}
    await world.api.merge(workspaces.path(team, "wrong"), mended)
    (await training_of(world, team, "wrong")).succeed()
    await workspaces.in_phase(world.api, team, "wrong", "Succeeded")


async def test_a_crash_is_tried_again(operator: Operator, world: World, team: str) -> None:
    _ = operator
    await world.api.create(workspaces.path(team), tuning(team, "crash"))
    (await training_of(world, team, "crash")).end(70, "RuntimeError: boom")
    found = await workspaces.with_reason(world.api, team, "crash", "TrainingRetried")
    assert "RuntimeError: boom" in workspaces.condition(found, "Ready")["message"]
    (await training_of(world, team, "crash")).succeed()
    await workspaces.in_phase(world.api, team, "crash", "Succeeded")


async def test_a_bad_config_is_told_before_a_machine_is_bought(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    await config(world, team, "training_config: {LoraConfg: {r: 8}}")
    await world.api.create(workspaces.path(team), tuning(team, "typo", config=CONFIG))
    found = await workspaces.with_reason(world.api, team, "typo", "ConfigInvalid")
    assert "did you mean LoraConfig" in workspaces.condition(found, "Ready")["message"]
    assert workspaces.condition(found, "JobStarted")["status"] == "False"
    assert await workspaces.claims(world.api, team, "typo") == []


async def test_machines_are_given_back_where_that_is_wanted(
    operator: Operator, world: World, team: str
) -> None:
    _ = operator
    manifest = tuning(team, "thrifty")
    manifest["metadata"]["annotations"] = {"atelier.dev/release-nodes-when-done": "true"}
    await world.api.create(workspaces.path(team), manifest)
    (await training_of(world, team, "thrifty")).succeed()
    await workspaces.in_phase(world.api, team, "thrifty", "Succeeded")
    async with asyncio.timeout(workspaces.PATIENCE_SECONDS):
        while await workspaces.claims(world.api, team, "thrifty"):  # noqa: ASYNC110 - another process deletes them
            await asyncio.sleep(0.1)
    found = await workspaces.present(world.api, workspaces.path(team, "thrifty"))
    assert workspaces.condition(found, "WorkspaceSucceeded")["status"] == "True"


async def test_adapters_reach_the_pod(operator: Operator, world: World, team: str) -> None:
    _ = operator
    manifest = workspaces.workspace(team, "adapted")
    source = {"name": "style", "volumeSource": {"emptyDir": {}}}
    manifest["inference"]["adapters"] = [{"source": source, "strength": "0.5"}]
    await world.api.create(workspaces.path(team), manifest)
    await workspaces.in_phase(world.api, team, "adapted", "Ready")
    made = await workspaces.present(world.api, workspaces.deployment_path(team, "adapted"))
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert "--adapter=style=/mnt/adapter/style" in container["args"]
    assert "--adapter-strength=style=0.5" in container["args"]
