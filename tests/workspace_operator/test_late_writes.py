"""A Service comes after the Deployment of its Workspace, and never by an older wish."""

from typing import Any

import pytest
from workspace_operator.changes import Changes
from workspace_operator.cluster import Conflict, Forbidden, Manifest
from workspace_operator.late_writes import InOrder, LateWrites, NotCreated
from workspace_operator.snapshot import Snapshot

from tests.builders.memory_cluster import MemoryCluster
from tests.builders.memory_world import KEY, MemoryWorld
from tests.workspaces import INFERENCE


def manifest(kind: str, version: str = "v1") -> Manifest:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "mistral", "namespace": "team"},
    }


SERVICE, POLICY = manifest("Service"), manifest("NetworkPolicy", "networking.k8s.io/v1")
DEPLOYMENT = manifest("Deployment", "apps/v1")
ALL = Changes(apply=(SERVICE, POLICY, DEPLOYMENT))


def late(cluster: Any = None) -> LateWrites:  # noqa: ANN401 - stands for the port
    return LateWrites(cluster=cluster or MemoryCluster())


def test_the_service_is_parted_from_what_comes_first() -> None:
    assert late().part(ALL, Snapshot()) == (Changes(apply=(POLICY, DEPLOYMENT)), SERVICE)


@pytest.mark.parametrize(
    ("todo", "snapshot"),
    [
        (Changes(apply=(SERVICE,)), Snapshot()),  # the machine is not there yet: nobody waits
        (Changes(apply=(POLICY, DEPLOYMENT)), Snapshot()),
        (ALL, Snapshot(service=SERVICE)),  # it is there, and changes
        (ALL, Snapshot(deployment=DEPLOYMENT)),  # pods run, and may be spoken to
        (Changes(), Snapshot()),
    ],
)
def test_else_everything_is_written_in_its_place(todo: Changes, snapshot: Snapshot) -> None:
    assert late().part(todo, snapshot) == (todo, None)


async def test_what_is_left_is_created_once() -> None:
    cluster = MemoryCluster()
    left = late(cluster)
    left.keep(KEY, None)
    assert not left.has_news(KEY)
    left.keep(KEY, SERVICE)
    assert left.has_news(KEY)
    await left.tell(KEY)
    await left.tell(KEY)
    assert not left.has_news(KEY)
    assert cluster.writes == 1
    assert len(cluster.of("Service")) == 1


async def test_the_next_pass_drops_it() -> None:
    cluster = MemoryCluster()
    left = late(cluster)
    left.keep(KEY, SERVICE)
    left.drop(KEY)
    left.drop(KEY)
    await left.tell(KEY)
    assert cluster.writes == 0


class Refusing:
    """Refuse every creation."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def create(self, _manifest: Manifest) -> Manifest:
        raise self.error


async def test_a_refusal_asks_for_the_next_pass_soon_instead_of_after_a_rest() -> None:
    left = late(Refusing(Forbidden("POST services", "no right")))
    left.keep(KEY, SERVICE)
    with pytest.raises(NotCreated, match="no right"):
        await left.tell(KEY)
    assert not left.has_news(KEY)


async def test_one_of_somebody_else_is_left_to_the_next_pass() -> None:
    left = late(Refusing(Conflict("POST services", "exists")))
    left.keep(KEY, SERVICE)
    with pytest.raises(Conflict):
        await left.tell(KEY)


async def test_several_things_are_told_in_order_and_an_error_leaves_the_rest() -> None:
    first, second = late(), late()
    both = InOrder((first, second))
    assert not both.has_news(KEY)
    second.keep(KEY, SERVICE)
    assert both.has_news(KEY)
    failing = late(Refusing(Conflict("POST services", "exists")))
    failing.keep(KEY, SERVICE)
    with pytest.raises(Conflict):
        await InOrder((failing, second)).tell(KEY)
    assert second.has_news(KEY)
    await InOrder((failing, second)).tell(KEY)
    assert not second.has_news(KEY)


async def test_a_pass_that_creates_both_leaves_the_service_and_the_next_would_create_it() -> None:
    world = MemoryWorld()
    world.write(INFERENCE)
    operator = world.operator()
    operator.newborns.see(KEY, world.workspace, deleted=False)
    await operator(KEY)
    world._play()
    await operator(KEY)
    assert len(world.cluster.of("Deployment")) == 1
    assert operator.late.has_news(KEY)
    assert not world.cluster.of("Service")
    await operator(KEY)
    assert not operator.late.has_news(KEY)
    assert len(world.cluster.of("Service")) == 1
