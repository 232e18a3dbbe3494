"""A Workspace that an event shows as new may have been taken in hand already: then it is read."""

import copy
from typing import Any

from tests.builders.memory_world import KEY, MemoryWorld

WORKSPACE: dict[str, Any] = {
    "apiVersion": "kaito.sh/v1beta1",
    "kind": "Workspace",
    "metadata": {"name": "any"},
    "resource": {
        "instanceType": "Standard_NC24ads_A100_v4",
        "labelSelector": {"matchLabels": {"apps": "mistral"}},
    },
    "inference": {"preset": {"name": "mistral-7b-instruct"}},
}


async def test_a_sight_that_comes_after_the_pass_is_no_failed_try() -> None:
    """A pass that an earlier life has caused finds the new one before its own event comes."""
    world = MemoryWorld()
    world.write(WORKSPACE)
    born = copy.deepcopy(world.workspace)
    operator = world.operator()
    await operator(KEY)
    (claim,) = world.cluster.of("NodeClaim")
    world.seconds += 2
    operator.newborns.see(KEY, born, deleted=False)
    await operator(KEY)
    await operator.reporter.tell(KEY)
    (attempt,) = world.workspace["status"]["nodeAttempts"]
    assert (attempt["claim"], attempt["attempt"], attempt["failures"]) == (
        claim["metadata"]["name"],
        0,
        0,
    )
