"""
A cloud that answers at once and cheaply: three requests turn a NodeClaim into a ready Node.

It shares two processors with what is measured, so it does as little as can be called a cloud: the
Node is born with its status, as a kubelet registers it; the claim gets Karpenter's finalizer and
then all conditions in one step. On its way out the Node goes, then the finalizer. Few connections,
since each of them costs the API server a handshake.
"""

import asyncio
from typing import Any

from tests.world import Api
from tests.world.api import CLAIMS, ApiError
from tests.world.cloud import FINALIZER, STEPS, condition

HANDS = 6
RESOURCES = {"cpu": "24", "memory": "220Gi", "pods": "100", "nvidia.com/gpu": "1"}


class QuickCloud:
    """Answer every NodeClaim in the order in which they come."""

    def __init__(self, api: Api) -> None:
        """Use a pool of connections to the API server."""
        self.api = api
        self.answered = 0
        self._begun: set[tuple[str, bool]] = set()
        self._orders: asyncio.Queue[tuple[bool, dict[str, Any]]] = asyncio.Queue()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(HANDS):
                group.create_task(self._work())
            async for change, claim in self.api.watch(CLAIMS):
                leaving = "deletionTimestamp" in claim["metadata"]
                step = (claim["metadata"]["uid"], leaving)
                if change == "DELETED":
                    self._begun -= {(step[0], False), (step[0], True)}
                elif step not in self._begun:
                    self._begun.add(step)
                    self._orders.put_nowait((leaving, claim))

    async def _work(self) -> None:
        while True:
            leaving, claim = await self._orders.get()
            try:
                await (self._terminate(claim) if leaving else self._launch(claim))
            except ApiError as error:
                if error.status not in {404, 409}:  # the claim went away meanwhile
                    raise

    async def _launch(self, claim: dict[str, Any]) -> None:
        name, labels = claim["metadata"]["name"], claim["metadata"]["labels"]
        path = f"{CLAIMS}/{name}"
        await self.api.merge(path, {"metadata": {"finalizers": [FINALIZER]}})
        status = {
            "capacity": RESOURCES,
            "allocatable": RESOURCES,
            "conditions": [condition("Ready", "True", "KubeletReady")],
        }
        wanted = {
            each["key"]: each["values"][0]
            for each in claim["spec"]["requirements"]
            if each["operator"] == "In"
        }
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": wanted | labels},
            "spec": {"providerID": f"played:///{name}", "taints": claim["spec"].get("taints", [])},
            "status": status,
        }
        await self.api.create("/api/v1/nodes", node)
        conditions = [condition(step, "True", step) for step in STEPS]
        done = {"nodeName": name, "providerID": f"played:///{name}", "conditions": conditions}
        await self.api.merge(f"{path}/status", {"status": done})
        self.answered += 1

    async def _terminate(self, claim: dict[str, Any]) -> None:
        name = claim["metadata"]["name"]
        await self.api.delete(f"/api/v1/nodes/{name}")
        await self.api.merge(f"{CLAIMS}/{name}", {"metadata": {"finalizers": None}})
