"""Write, read and await Workspaces."""

import asyncio
import time
from collections.abc import Callable

from tests.world.api import CLAIMS, Api, Manifest

GROUP = "/apis/kaito.sh/v1beta1"
PATIENCE_SECONDS = 40.0


def path(namespace: str, name: str = "") -> str:
    return f"{GROUP}/namespaces/{namespace}/workspaces" + (f"/{name}" if name else "")


def deployment_path(namespace: str, name: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"


def service_path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/services/{name}"


def workspace(
    namespace: str,
    name: str = "mistral",
    *,
    preset: str = "mistral-7b-instruct",
    **resource: object,
) -> Manifest:
    return {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": name, "namespace": namespace},
        "resource": {
            "instanceType": "Standard_NC24ads_A100_v4",
            "labelSelector": {"matchLabels": {"apps": f"{namespace}-{name}"}},
            **resource,
        },
        "inference": {"preset": {"name": preset}},
    }


async def eventually(
    api: Api, where: str, holds: Callable[[Manifest | None], bool]
) -> Manifest | None:
    """Read an object until something holds of it; None stands for no object."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = await api.get(where)
        if holds(found):
            return found
        if time.monotonic() > deadline:
            message = f"{where} is not as expected after {PATIENCE_SECONDS} s: {found}"
            raise TimeoutError(message)
        await asyncio.sleep(0.05)


async def gone(api: Api, where: str) -> None:
    await eventually(api, where, lambda found: found is None)


async def present(api: Api, where: str) -> Manifest:
    found = await eventually(api, where, lambda found: found is not None)
    assert found is not None
    return found


async def in_phase(api: Api, namespace: str, name: str, phase: str) -> Manifest:
    found = await eventually(
        api,
        path(namespace, name),
        lambda found: found is not None and found.get("status", {}).get("phase") == phase,
    )
    assert found is not None
    return found


async def with_reason(api: Api, namespace: str, name: str, reason: str) -> Manifest:
    """Wait until the condition Ready gives this reason."""
    found = await eventually(
        api,
        path(namespace, name),
        lambda found: found is not None and condition(found, "Ready").get("reason") == reason,
    )
    assert found is not None
    return found


def condition(manifest: Manifest, kind: str) -> Manifest:
    """Return a condition of an object, or an empty one."""
    found: list[Manifest] = manifest.get("status", {}).get("conditions", [])
    return next((each for each in found if each["type"] == kind), {})


async def claims(api: Api, namespace: str, name: str) -> list[Manifest]:
    """Return the NodeClaims of a Workspace."""
    labels = f"kaito.sh/workspace={name},kaito.sh/workspacenamespace={namespace}"
    return await api.items(f"{CLAIMS}?labelSelector={labels}")
