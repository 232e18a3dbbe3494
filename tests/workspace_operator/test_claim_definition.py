"""A definition of NodeClaims that comes, or comes again, is noticed; everything else is no news."""

import asyncio

import pytest
from workspace_operator.claim_definition import CLAIM_DEFINITION, ClaimDefinition, StartOver
from workspace_operator.cluster import Forbidden, Kind
from workspace_operator.cluster.kinds import DEFINITION

from tests.builders import Manifest, condition
from tests.builders.memory_cluster import MemoryCluster


def definition(uid: str = "one", *, established: bool = True, going: bool = False) -> Manifest:
    metadata = {"name": "nodeclaims.karpenter.sh", "uid": uid}
    if going:
        metadata["deletionTimestamp"] = "2026-03-01T10:00:00Z"
    status = {"conditions": [condition("Established", "True" if established else "False")]}
    return {"metadata": metadata, "status": status}


class NoRight(MemoryCluster):
    """Refuse every look."""

    async def find(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest | None:
        raise Forbidden(kind.kind, f"{namespace}/{name}: may not")


async def starts_over(held: Manifest | None, *heard: Manifest) -> bool:
    cluster = MemoryCluster()
    if held is not None:
        cluster.objects[DEFINITION.kind, None, CLAIM_DEFINITION] = held
    followed = ClaimDefinition(cluster=cluster)
    assert await followed.read()
    waiting = asyncio.create_task(followed.start_over_when_changed())
    for each in heard:
        followed.heard(each)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    over = waiting.done()
    if over:
        with pytest.raises(StartOver, match="nodeclaims"):
            await waiting
    waiting.cancel()
    return over


async def test_one_that_comes_is_news() -> None:
    assert await starts_over(None, definition())


async def test_one_that_is_not_served_yet_is_not() -> None:
    assert not await starts_over(None, definition(established=False))
    assert await starts_over(None, definition(established=False), definition())


async def test_the_one_that_was_there_is_not() -> None:
    assert not await starts_over(definition(), definition())


async def test_one_that_goes_is_not_and_another_is() -> None:
    assert not await starts_over(definition(), definition(going=True))
    assert await starts_over(definition(), definition(going=True), definition("two"))


async def test_without_the_right_nothing_is_watched() -> None:
    assert not await ClaimDefinition(cluster=NoRight()).read()
