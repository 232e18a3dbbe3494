"""
Twenty paths of five edits on a real API server: each ends where its last edit alone would.

The same edits as in tests/workspace_operator/test_state_equals_spec.py, which walks five hundred
paths in memory. Here the definition is real: what it refuses never comes to be.
"""

import asyncio
import json
import random
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest
from workspace_operator.status.refused import SERVES_ON

from tests.cluster import ControlPlane
from tests.workspaces import INFERENCE, merged
from tests.workspaces.edits import EDITS, Edit
from tests.world import World, workspaces
from tests.world.api import Api, ApiError
from tests.world.operator_process import Operator

Manifest = dict[str, Any]

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(240),  # forty Workspaces
]

PATHS = {
    f"path-{seed}": random.Random(seed).choices(EDITS, k=5)  # noqa: S311 - which path is no secret
    for seed in range(20)
}
AT_ONCE = 4  # the controllers that make the pods are slow on purpose
REFUSED = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}


def named(manifest: Manifest, namespace: str, name: str) -> Manifest:
    return merged(
        manifest,
        {
            "metadata": {"name": name, "namespace": namespace},
            "resource": {"labelSelector": {"matchLabels": {"apps": name}}},
        },
    )


async def edited(api: Api, namespace: str, name: str, edits: list[Edit]) -> Manifest:
    """Walk one path as a user would, and return the last manifest that was taken."""
    manifest = named(INFERENCE, namespace, name)
    where = workspaces.path(namespace, name)
    await api.create(workspaces.path(namespace), manifest)
    for number, edit in enumerate(edits):
        try:
            await api.merge(where, edit.patch)
        except ApiError as refusal:
            status, message = refusal.status, str(refusal)
        else:
            status, message = HTTPStatus.OK, ""
            manifest = merged(manifest, edit.patch)
        assert (status in REFUSED) == (edit.refused or edit.fixed), (edit.name, message)
        await asyncio.sleep(0.1 * number)  # so that some edits meet a pass, and some do not
    return manifest


def settled(found: Manifest | None) -> bool:
    """Say whether the operator has seen the spec and has nothing under way."""
    if found is None or "status" not in found:
        return False
    status = found["status"]
    seen = status.get("observedGeneration") == found["metadata"]["generation"]
    return seen and status.get("phase") in {"Ready", "Invalid"}


async def told(api: Api, namespace: str, name: str) -> tuple[str, str]:
    """Return what is said of the spec; that a model of an earlier one goes on is another matter."""
    found = await workspaces.eventually(api, workspaces.path(namespace, name), settled)
    assert found is not None
    ready = workspaces.condition(found, "Ready")
    message = ready["message"].removesuffix(f" {SERVES_ON}")
    return ready["reason"], message.replace(namespace, "NAMESPACE")


async def made(api: Api, namespace: str, name: str) -> list[str]:
    """Return what the children say that matters, without the facts of one life."""
    children = (
        (workspaces.deployment_path(namespace, name), ("spec", "replicas")),
        (workspaces.deployment_path(namespace, name), ("spec", "template", "spec")),
        (workspaces.service_path(namespace, name), ("spec", "selector")),
        (workspaces.service_path(namespace, name), ("spec", "type")),
    )
    found = []
    for where, keys in children:
        value: Any = await workspaces.present(api, where)
        for key in keys:
            value = value[key]
        found.append(json.dumps(value, sort_keys=True).replace(namespace, "NAMESPACE"))
    return [*found, str(len(await workspaces.claims(api, namespace, name)))]


async def alike(look: Callable[[], Any], expected: object) -> None:
    """Wait until a look shows what is expected: an annotation moves no generation."""
    for _ in range(100):
        if await look() == expected:
            return
        await asyncio.sleep(0.1)
    assert await look() == expected


async def test_twenty_paths_of_five_edits_end_where_their_last_one_would(
    operator: Operator, world: World, team: str, populated: ControlPlane
) -> None:
    api, other = world.api, populated.create_namespace()
    for namespace in (team, other):
        for name, length in (("settings", 2048), ("other", 1024)):
            tuned = {"inference_config.yaml": f"server: {{max-model-len: {length}}}"}
            metadata = {"name": name, "namespace": namespace}
            kind = {"apiVersion": "v1", "kind": "ConfigMap"}
            populated.apply({**kind, "metadata": metadata, "data": tuned})

    few = asyncio.Semaphore(AT_ONCE)

    async def walk(name: str, edits: list[Edit]) -> None:
        async with few:
            await compare(name, await edited(api, team, name, edits))

    async def compare(name: str, last: Manifest) -> None:
        await api.create(workspaces.path(other), named(last, other, name))
        expected = await told(api, other, name)
        await alike(lambda: told(api, team, name), expected)
        if expected[0] == "Ready":
            wanted = await made(api, other, name)
            await alike(lambda: made(api, team, name), wanted)
        for namespace in (team, other):
            await api.delete(workspaces.path(namespace, name))
            await workspaces.gone(api, workspaces.path(namespace, name))

    await asyncio.gather(*(walk(name, edits) for name, edits in PATHS.items()))
    assert operator.runs
    assert [each for each in operator.events() if "traceback" in each] == []
    populated.kubectl("delete", "namespace", other, "--wait=false")
