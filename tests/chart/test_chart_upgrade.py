"""
Upgrade from every earlier version with live Workspaces, and go back: nothing is bought again, and
no pod restarts but where the changelog says so. Where it does not, nothing is written to what a
Workspace has, and nobody who watches it sees it leave Ready.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import ControlPlane, karpenter_crds
from tests.cluster import control_plane as run_control_plane
from tests.installation import CHART, NAMESPACE, RELEASE
from tests.installation.earlier import (
    VERSIONS,
    earlier_chart,
    frozen_hashes,
    left_for,
    shapes,
    was_applied,
    workspace_of,
)
from tests.world import World, play, workspaces
from tests.world.api import CLAIMS
from tests.world.operator_process import Operator, environment_of_chart

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.usefixtures("helm"),
    pytest.mark.timeout(240),
]

Manifest = dict[str, Any]
AT_ONCE = 8
CONTROLLERS = ("deployment-controller", "replicaset-controller", "garbage-collector-controller")
CHANGELOG = (CHART.parents[1] / "CHANGELOG.md").read_text()
APPLY = "application/apply-patch+yaml"
TEAM = "team"


def announces_a_roll(version: Path) -> bool:
    """Say whether the notes since a version announce that model pods roll."""
    since = CHANGELOG.partition(f"\n## [{version.name}]")[0]
    return re.search(r"^- .*rolls every model pod once", since, re.MULTILINE) is not None


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_hashes_are_worked_out_as_on_the_day(version: Path) -> None:
    pairs = list(frozen_hashes(version))
    assert len(pairs) >= 2 * len(shapes(version))
    assert all(frozen == again for frozen, again in pairs)


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def version(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def plane(version: Path, tmp_path: Path) -> Iterator[ControlPlane]:
    """Run a control plane on which the earlier chart is installed."""
    with run_control_plane(controllers=CONTROLLERS) as plane:
        for definition in karpenter_crds():
            plane.apply(definition)
        plane.create_namespace(TEAM)
        helm(
            plane, "install", str(earlier_chart(version, tmp_path / "chart")), "--create-namespace"
        )
        yield plane


def helm(plane: ControlPlane, verb: str, *arguments: str) -> None:
    plane.helm(verb, RELEASE, *arguments, "-n", NAMESPACE)


@pytest.fixture
async def world(plane: ControlPlane) -> AsyncIterator[World]:
    async with play(plane) as world:
        yield world


async def apply(world: World, path: str, manifest: Manifest, manager: str = "atelier") -> None:
    query = f"?fieldManager={manager}&force=true"
    await world.api.send("PATCH", path + query, manifest, kind=APPLY)


def path_of(manifest: Manifest) -> str:
    name = manifest["metadata"]["name"]
    match manifest["kind"]:
        case "NodeClaim":
            return f"{CLAIMS}/{name}"
        case "Deployment":
            return workspaces.deployment_path(TEAM, name)
        case "NetworkPolicy":
            return f"/apis/networking.k8s.io/v1/namespaces/{TEAM}/networkpolicies/{name}"
        case _:
            return workspaces.service_path(TEAM, name)


async def leave(world: World, version: Path, number: int) -> None:
    """Leave one Workspace as the earlier operator would, up to its last report."""
    every = shapes(version)
    shape = every[number % len(every)]
    asked = workspace_of(version, shape, name=f"model-{number}", namespace=TEAM)
    live = await world.api.create(workspaces.path(TEAM), asked)
    left = left_for(version, shape, live)
    for child in left.children:
        if was_applied(version):
            await apply(world, path_of(child), child)
        else:
            collection = path_of(child).rpartition("/")[0]
            await world.api.create(f"{collection}?fieldManager=atelier", child)
    report = {
        "apiVersion": live["apiVersion"],
        "kind": live["kind"],
        "metadata": {"name": live["metadata"]["name"], "namespace": TEAM},
        "status": left.status,
    }
    path = workspaces.path(TEAM, live["metadata"]["name"])
    await apply(world, f"{path}/status", report, "atelier-status")


async def seen(world: World, path: str) -> dict[str, Manifest]:
    items = await world.api.items(path)
    return {each["metadata"]["uid"]: each for each in items}


async def rolled_out(world: World) -> None:
    """Wait until every Deployment has as many ready pods of its newest template as it wants."""
    async with asyncio.timeout(240):
        while True:
            found = await world.api.items(f"/apis/apps/v1/namespaces/{TEAM}/deployments")
            states = [
                each["status"].get("observedGeneration") == each["metadata"]["generation"]
                and each["status"].get("readyReplicas") == each["spec"]["replicas"]
                and each["status"].get("updatedReplicas") == each["spec"]["replicas"]
                and each["status"].get("replicas") == each["spec"]["replicas"]
                for each in found
            ]
            if states and all(states):
                return
            await asyncio.sleep(0.2)


async def settled(world: World, operator: Operator, many: int) -> None:
    """Wait until the operator has looked at everything, and nothing is left to do."""
    async with asyncio.timeout(240):
        while await operator.metric("atelier_passes_total") < many:  # noqa: ASYNC110 (remote)
            await asyncio.sleep(0.2)
        while True:
            before = await operator.writes()
            await rolled_out(world)
            found = await world.api.items(workspaces.path(TEAM))
            ready = [each["status"].get("phase") == "Ready" for each in found]
            await asyncio.sleep(1)
            if all(ready) and await operator.writes() == before:
                return


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the Workspaces of the team have, by UID, and what their statuses tell."""

    claims: dict[str, Manifest]
    services: dict[str, Manifest]
    deployments: dict[str, Manifest]
    pods: dict[str, Manifest]
    told: dict[str, Manifest]


async def held(world: World) -> Held:
    found = await seen(world, workspaces.path(TEAM))
    return Held(
        claims=await seen(world, CLAIMS),
        services=await seen(world, f"/api/v1/namespaces/{TEAM}/services"),
        deployments=await seen(world, f"/apis/apps/v1/namespaces/{TEAM}/deployments"),
        pods=await seen(world, f"/api/v1/namespaces/{TEAM}/pods"),
        told={uid: told(each["status"]) for uid, each in found.items()},
    )


def told(status: Manifest) -> Manifest:
    """Leave out messages, which name pods that were frozen, and what says how it was planned."""
    conditions: Manifest = {
        each["type"]: (each["status"], each["reason"], each["lastTransitionTime"])
        for each in status["conditions"]
    }
    kept = ("phase", "state", "startup", "endpoint", "model", "targetNodeCount")
    conditions["nodes"] = tuple(sorted(status["workerNodes"]))  # their order comes from the UID
    return {"conditions": conditions} | {key: status.get(key) for key in kept}


@asynccontextmanager
async def phases(world: World) -> AsyncIterator[set[str]]:
    """Collect the phases that somebody sees who watches."""
    found: set[str] = set()

    async def watch() -> None:
        async for _, each in world.api.watch(workspaces.path(TEAM)):
            found.add(each["status"]["phase"])

    task = asyncio.create_task(watch())
    yield found
    task.cancel()
    await asyncio.wait([task])


async def start(plane: ControlPlane, log: Path) -> Operator:
    operator = Operator(
        kubeconfig=plane.kubeconfig_for(NAMESPACE, RELEASE),
        environment=environment_of_chart(plane),
        log=log,
    )
    operator.start()
    await operator.leads()
    return operator


def nothing_was_bought_again(before: Held, after: Held) -> None:
    assert after.claims.keys() == before.claims.keys(), "a machine was bought or given back"
    assert {uid: each["spec"] for uid, each in after.claims.items()} == {
        uid: each["spec"] for uid, each in before.claims.items()
    }
    assert after.services.keys() == before.services.keys()
    assert after.deployments.keys() == before.deployments.keys()


@pytest.mark.parametrize(
    "many",
    [5, pytest.param(100, marks=[pytest.mark.large, pytest.mark.timeout(600)])],
)
async def test_an_upgrade_buys_nothing_again_and_rolls_what_the_notes_say(
    many: int, plane: ControlPlane, version: Path, world: World, tmp_path: Path
) -> None:
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with turn:
            await leave(world, version, number)

    await asyncio.gather(*(one(number) for number in range(many)))
    await rolled_out(world)
    before = await held(world)

    async with phases(world) as watched:
        await asyncio.to_thread(helm, plane, "upgrade", str(CHART))
        operator = await start(plane, tmp_path / "log")
        await settled(world, operator, many)

    after = await held(world)
    nothing_was_bought_again(before, after)
    generations = {each["metadata"]["generation"] for each in after.deployments.values()}
    deployments_written = await operator.metric('atelier_writes_total{kind="Deployment"')
    if announces_a_roll(version):
        assert generations == {2}, "one roll, not several"
        assert deployments_written >= many
        assert after.pods.keys() & before.pods.keys() == set()
    else:
        assert after.pods.keys() == before.pods.keys(), "a pod restarted; CHANGELOG.md is silent"
        assert generations == {1}
        assert deployments_written == 0
        for kind in ("NodeClaim", "Service"):
            assert await operator.metric(f'atelier_writes_total{{kind="{kind}"') == 0, kind
        assert watched == {"Ready"}
        assert after.told == before.told
    assert operator.stop() == 0
    assert [each for each in operator.events() if "traceback" in each] == []

    await asyncio.to_thread(helm, plane, "rollback", "1")
    await usable_by_the_earlier_version(world, version)
    assert (await seen(world, CLAIMS)).keys() == before.claims.keys()


async def usable_by_the_earlier_version(world: World, version: Path) -> None:
    """Try what the earlier operator does with a Workspace, with what the later one left in it."""
    for number, shape in enumerate(shapes(version)):
        path = workspaces.path(TEAM, f"model-{number}")
        live = await world.api.get(path)
        assert live is not None
        left = left_for(version, shape, live)
        identity = {key: live[key] for key in ("apiVersion", "kind")} | {
            "metadata": {"name": live["metadata"]["name"], "namespace": TEAM}
        }
        await apply(world, f"{path}/status", identity | {"status": left.status}, "atelier-status")
        finalizers = {"metadata": {"finalizers": live["metadata"]["finalizers"]}}
        await world.api.merge(path, finalizers)
        for child in left.children:
            if child["kind"] != "NodeClaim":
                await apply(world, f"{path_of(child)}", child)
        again = await world.api.get(path)
        assert again is not None
        assert again["status"]["phase"] == "Ready"
