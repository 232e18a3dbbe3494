"""A namespace that went without its Workspace: machines are given back, and none is bought."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from workspace_operator.api import FINALIZER
from workspace_operator.cluster import Forbidden, Gone, Manifest
from workspace_operator.cluster.errors import NAMESPACES
from workspace_operator.vanished_namespace import GRACE_SECONDS, LOOK_AGAIN_SECONDS

from tests.builders.memory_cluster import MemoryCluster
from tests.builders.memory_world import KEY, MemoryWorld
from tests.workspaces import INFERENCE


@dataclass(slots=True)
class Holed(MemoryCluster):
    """Refuse, as an API server does, each write into a namespace that does not exist."""

    namespace_exists: bool = True
    refusal: Gone | Forbidden = field(
        default_factory=lambda: Gone("PATCH", 'namespaces "team" not found', NAMESPACES)
    )

    def put(self, manifest: Manifest) -> Manifest:
        if not self.namespace_exists and manifest["metadata"].get("namespace"):
            raise self.refusal
        return MemoryCluster.put(self, manifest)

    async def apply_status(self, manifest: Manifest) -> Manifest:
        if not self.namespace_exists:
            raise self.refusal
        return await MemoryCluster.apply_status(self, manifest)

    async def set_finalizers(self, manifest: Manifest, finalizers: Sequence[str]) -> Manifest:
        if not self.namespace_exists:
            raise self.refusal
        return await MemoryCluster.set_finalizers(self, manifest, tuple(finalizers))


@pytest.fixture
def cluster() -> Holed:
    return Holed()


@pytest.fixture
def world(cluster: Holed) -> MemoryWorld:
    """Give a world with a Workspace that is Ready."""
    world = MemoryWorld(cluster=cluster)
    world.write(INFERENCE)
    asyncio.run(world.settle())
    assert len(cluster.of("NodeClaim")) == 1
    return world


def empty(cluster: Holed, *kept: str) -> None:
    """End the namespace as its controller does that does not know of Workspaces."""
    cluster.namespace_exists = False
    for place in [each for each in cluster.objects if each[1] == KEY.namespace]:
        if place[0] not in {"Workspace", *kept}:
            del cluster.objects[place]


async def passes(world: MemoryWorld, *seconds: float) -> list[float | None]:
    """Let one operator do a pass, and one more after so many seconds each."""
    operator = world.operator()
    pauses = [await operator(KEY)]
    for each in seconds:
        world.seconds += each
        pauses.append(await operator(KEY))
        await operator.reporter.tell(KEY)
    return pauses


async def test_machines_go_after_a_minute_of_refusals(cluster: Holed, world: MemoryWorld) -> None:
    empty(cluster)
    operator = world.operator()
    assert await operator(KEY) == GRACE_SECONDS
    world.seconds += GRACE_SECONDS - 1
    assert await operator(KEY) == 1.0
    assert len(cluster.of("NodeClaim")) == 1, "not for what was said within one minute"
    assert len(operator.vanished) == 1
    world.seconds += 1
    assert await operator(KEY) == LOOK_AGAIN_SECONDS
    assert cluster.of("NodeClaim") == []


async def test_none_is_bought_again_by_this_operator_or_the_next(
    cluster: Holed, world: MemoryWorld
) -> None:
    empty(cluster)
    await passes(world, GRACE_SECONDS, LOOK_AGAIN_SECONDS)
    assert cluster.of("NodeClaim") == []
    await passes(world, 1.0, GRACE_SECONDS)
    assert cluster.of("NodeClaim") == []


async def test_a_namespace_that_is_back_in_time_keeps_its_machine(
    cluster: Holed, world: MemoryWorld
) -> None:
    (before,) = cluster.of("NodeClaim")
    empty(cluster)
    operator = world.operator()
    await operator(KEY)
    cluster.namespace_exists = True
    world.seconds += GRACE_SECONDS
    await operator(KEY)
    assert len(operator.vanished) == 0
    cluster.namespace_exists = False
    empty(cluster)
    assert await operator(KEY) == GRACE_SECONDS, "counted anew"
    (after,) = cluster.of("NodeClaim")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


async def test_a_machine_with_a_pod_on_it_stays(cluster: Holed, world: MemoryWorld) -> None:
    empty(cluster, "Pod")
    await passes(world, GRACE_SECONDS, LOOK_AGAIN_SECONDS)
    assert len(cluster.of("NodeClaim")) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        Gone("POST", 'deployments.apps "mistral" not found', "deployments"),
        Gone("POST", "the server could not find the requested resource"),
        Forbidden("POST", "is being terminated", ("NamespaceTerminating",)),
    ],
)
async def test_no_other_refusal_gives_a_machine_back(
    cluster: Holed, world: MemoryWorld, refusal: Gone | Forbidden
) -> None:
    empty(cluster)
    cluster.refusal = refusal
    operator = world.operator()
    for _ in range(3):
        with pytest.raises(type(refusal)):
            await operator(KEY)
        world.seconds += GRACE_SECONDS
    assert len(cluster.of("NodeClaim")) == 1


async def test_one_that_is_deleted_waits_for_its_namespace_and_goes_with_it(
    cluster: Holed, world: MemoryWorld
) -> None:
    """As the runbook says: delete it, make the namespace again."""
    empty(cluster)
    (workspace,) = cluster.of("Workspace")
    workspace["metadata"]["deletionTimestamp"] = "2026-03-01T11:00:00Z"
    operator = world.operator()
    await operator(KEY)
    assert cluster.of("NodeClaim") == [], "at once: it was asked for"
    assert await operator(KEY) == GRACE_SECONDS
    assert len(operator.vanished) == 1
    cluster.namespace_exists = True
    await operator(KEY)
    assert FINALIZER not in cluster.of("Workspace")[0]["metadata"]["finalizers"]
    assert len(operator.vanished) == 0


async def test_a_claim_of_another_life_is_not_touched(cluster: Holed, world: MemoryWorld) -> None:
    (claim,) = cluster.of("NodeClaim")
    (key,) = [each for each in claim["metadata"]["annotations"] if each.endswith("uid")]
    claim["metadata"]["annotations"][key] = "uid-of-a-namesake"
    empty(cluster)
    await passes(world, GRACE_SECONDS)
    assert len(cluster.of("NodeClaim")) == 1
