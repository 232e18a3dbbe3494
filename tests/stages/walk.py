"""Lead Workspaces through the stages, and take down what kubectl says in each."""

import asyncio
import json
from dataclasses import dataclass

from tests.cluster import ControlPlane
from tests.stages.masking import masked, table
from tests.world import World, workspaces
from tests.world.api import Manifest

NAME = "mistral"
SETTLED_SECONDS = 0.7
OUT_OF_MEMORY = "CUDA out of memory: 64.2 of 79.1 GiB are held by another process"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """What a user sees at one stage: each command with what it printed."""

    stage: str
    outputs: dict[str, str]


async def walk(plane: ControlPlane, world: World) -> list[Shot]:
    """Go through all stages, in the order in which a user may meet them."""
    return [
        await _typo(plane),
        await _too_small(plane, world),
        await _no_capacity(plane, world),
        *await _whole_line(plane, world),
    ]


async def _typo(plane: ControlPlane) -> Shot:
    namespace = plane.create_namespace()
    made = workspaces.workspace(namespace, NAME, preset="mistral-7b-instuct")
    done = plane.kubectl("apply", "-f", "-", text=json.dumps(made), check=False)
    said = masked(done.stderr, namespace)
    return Shot(stage="typo", outputs={"kubectl apply -f mistral.yaml": said})


async def _too_small(plane: ControlPlane, world: World) -> Shot:
    namespace = plane.create_namespace()
    await _create(world, namespace, instanceType="Standard_NC4as_T4_v3")
    shot = await _shot(plane, world, namespace, "too small", "MemoryDoesNotFit")
    await world.api.delete(workspaces.path(namespace, NAME))
    return shot


async def _no_capacity(plane: ControlPlane, world: World) -> Shot:
    namespace = plane.create_namespace()
    world.cloud.has_capacity = False
    try:
        await _create(world, namespace)
        await workspaces.in_phase(world.api, namespace, NAME, "WaitingForCapacity")
        shot = await _shot(plane, world, namespace, "no capacity", "InsufficientCapacityError")
    finally:
        world.cloud.has_capacity = True
    await world.api.delete(workspaces.path(namespace, NAME))
    return shot


async def _whole_line(plane: ControlPlane, world: World) -> list[Shot]:
    """Follow one Workspace from its first machine to its end."""
    namespace = plane.create_namespace()

    async def shot(stage: str, reason: str) -> Shot:
        return await _shot(plane, world, namespace, stage, reason)

    shots = []
    cloud, kubelet = world.cloud, world.kubelet
    cloud.makes_nodes, cloud.lets_go, kubelet.phase = False, False, "loading"
    kubelet.stuck = _waiting("ContainerCreating")
    try:
        await _create(world, namespace)
        shots.append(await shot("machine", "NodeClaimNotReady"))
        (claim,) = await workspaces.claims(world.api, namespace, NAME)
        cloud.gpus = 0
        await cloud.make_node(claim)
        shots.append(await shot("gpu", "NodePluginsNotReady"))
        cloud.gpus = 1
        await cloud.make_node(claim)
        shots.append(await shot("image", "PullingImage"))
        kubelet.stuck = _waiting("ImagePullBackOff", "manifest unknown")
        shots.append(await shot("no image", "ImagePullError"))
        kubelet.stuck = None
        (model,) = [each for pod, each in kubelet.models.items() if pod.startswith(NAME)]
        model.loaded = 6_517_000_000
        await workspaces.eventually(world.api, workspaces.path(namespace, NAME), _has_speed)
        shots.append(await shot("weights", "LoadingWeights"))
        model.phase = "ready"
        shots.append(await shot("ready", "Ready"))
        kubelet.stuck = _crashed(OUT_OF_MEMORY)
        shots.append(await shot("crash", "GPUOutOfMemory"))
        await world.api.delete(workspaces.path(namespace, NAME))
        shots.append(await shot("deletion", "Deleting"))
    finally:
        cloud.makes_nodes, cloud.lets_go, cloud.gpus = True, True, 1
        kubelet.stuck, kubelet.phase = None, "ready"
    await workspaces.gone(world.api, workspaces.path(namespace, NAME))
    return shots


async def _create(world: World, namespace: str, **resource: str) -> None:
    made = workspaces.workspace(namespace, NAME, **resource)
    made["resource"]["labelSelector"] = {"matchLabels": {"apps": NAME}}
    await world.api.create(workspaces.path(namespace), made)


async def _shot(plane: ControlPlane, world: World, namespace: str, stage: str, reason: str) -> Shot:
    """Wait until a Workspace has come to a stage and rests there, and look at it."""
    where = workspaces.path(namespace, NAME)
    found = await workspaces.with_reason(world.api, namespace, NAME, reason)
    version = ""
    while version != found["metadata"]["resourceVersion"]:
        version = found["metadata"]["resourceVersion"]
        await asyncio.sleep(SETTLED_SECONDS)
        found = await workspaces.present(world.api, where)
    stalled = workspaces.condition(found, "Stalled").get("reason")
    event = f"involvedObject.name={NAME},reason={stalled or found['status']['phase']}"
    columns = "custom-columns=TYPE:.type,REASON:.reason"
    sentence = """jsonpath={.status.conditions[?(@.type=="Ready")].message}"""

    async def kubectl(*arguments: str) -> str:
        return (await asyncio.to_thread(plane.kubectl, *arguments, "-n", namespace)).stdout

    get = ("get", "workspace", NAME)
    return Shot(
        stage=stage,
        outputs={
            "kubectl get workspace mistral": table(await kubectl(*get), namespace),
            "kubectl get workspace mistral -o wide": table(
                await kubectl(*get, "-o", "wide"), namespace
            ),
            f"kubectl get workspace mistral -o '{sentence}'": masked(
                await kubectl(*get, "-o", sentence), namespace
            ),
            f"kubectl get events --field-selector {event} -o {columns}": masked(
                await kubectl("get", "events", "--field-selector", event, "-o", columns), namespace
            ),
            "kubectl describe workspace mistral --show-events=false": masked(
                await kubectl("describe", "workspace", NAME, "--show-events=false"), namespace
            ),
        },
    )


def _has_speed(found: Manifest | None) -> bool:
    """Say whether the load has gone on long enough to be measured."""
    return found is not None and "secondsLeft" in found["status"].get("download", {})


def _waiting(reason: str, message: str = "") -> Manifest:
    return {"state": {"waiting": {"reason": reason, "message": message}, "running": None}}


def _crashed(message: str) -> Manifest:
    return {
        "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": ""}, "running": None},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": message}},
    }
