"""
State equals spec, whatever the path: five edits in a row end where the last one alone would.

The passes are the real ones; the cluster is one in memory, without admission, so that what the
definition refuses is met as well, as an object older than its rules.
"""

import asyncio
import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workspace_operator.api import InvalidSpec, parse
from workspace_operator.status.refused import SERVES_ON

from tests.builders.memory_world import KEY, MemoryWorld
from tests.workspaces import INFERENCE, merged
from tests.workspaces.edits import EDITS, Edit

Manifest = dict[str, Any]

OPEN = [edit for edit in EDITS if not edit.fixed]
STEPS = st.lists(st.tuples(st.sampled_from(OPEN), st.integers(0, 3)), min_size=5, max_size=5)
SETTINGS = {"settings": {"max-model-len": 2048}, "other": {"max-model-len": 1024}}


def new_world() -> MemoryWorld:
    world = MemoryWorld()
    for name, content in SETTINGS.items():
        written = "\n".join(f"{key}: {value}" for key, value in content.items())
        world.cluster.put(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": KEY.namespace},
                "data": {"inference_config.yaml": f"server:\n  {written}\n"},
            }
        )
    return world


def made(world: MemoryWorld) -> dict[str, Any]:
    """Return what was made, without names and times of a life, and machines by their number."""
    things: dict[str, Any] = {"machines": len(world.cluster.of("NodeClaim"))}
    for kind in ("Service", "Deployment", "NetworkPolicy"):
        for each in copy.deepcopy(world.cluster.of(kind)):
            for fact in ("uid", "resourceVersion", "generation", "ownerReferences"):
                each["metadata"].pop(fact, None)
            things[kind] = each
    return things


def verdict(world: MemoryWorld) -> tuple[str, str, str]:
    """Return what is said of the spec; that a model of an earlier one goes on is another matter."""
    conditions = world.workspace["status"]["conditions"]
    ready = next(each for each in conditions if each["type"] == "Ready")
    return ready["status"], ready["reason"], ready["message"].removesuffix(f" {SERVES_ON}")


async def along(steps: list[tuple[Edit, int]]) -> tuple[MemoryWorld, Manifest]:
    """
    Walk the whole path; the operator is a new one, and sometimes absent, at each step.

    An edit that breaks a rule stands for a while, and is taken back before the next one.
    """
    world, kept = new_world(), INFERENCE
    world.write(kept)
    await world.settle()
    manifest = kept
    for edit, passes in steps:
        manifest = merged(kept, edit.patch)
        world.write(manifest)
        await world.settle(passes)
        kept = kept if edit.refused else manifest
    await world.settle()
    return world, manifest


async def at_once(manifest: Manifest) -> MemoryWorld:
    world = new_world()
    world.write(manifest)
    await world.settle()
    return world


@given(steps=STEPS)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.timeout(180)  # five hundred lives of a Workspace
def test_five_edits_end_where_the_last_one_alone_would(steps: list[tuple[Edit, int]]) -> None:
    world, manifest = asyncio.run(along(steps))
    fresh = asyncio.run(at_once(manifest))

    assert verdict(world) == verdict(fresh)
    assert (
        world.workspace["status"]["observedGeneration"]
        == (world.workspace["metadata"]["generation"])
    )
    if verdict(fresh)[0] == "True":
        assert made(world) == made(fresh)
    if any(edit.refused for edit, _ in steps[-1:]):
        with pytest.raises(InvalidSpec) as problem:
            parse(manifest)
        assert verdict(world)[1] == "InvalidSpec"
        assert problem.value.path in verdict(world)[2]
