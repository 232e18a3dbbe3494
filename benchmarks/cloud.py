"""
A cloud that answers at once and cheaply: three requests turn a NodeClaim into a ready Node.

It shares two processors with what is measured, so it does as little as can be called a cloud: the
Node is born with its status, as a kubelet registers it; the claim gets Karpenter's finalizer and
then all conditions in one step. On its way out the Node goes, then the finalizer. Few connections,
since each of them costs the API server a handshake.

A silent one gives each claim its finalizer and does no more of itself: then the benchmark says of a
claim what Karpenter would, word by word.
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
        self.silent = False
        self._held: dict[str, asyncio.Future[str]] = {}
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
        if self.silent:
            held = self._held_for(labels["kaito.sh/workspace"])
            if not held.done():
                held.set_result(name)
            return
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

    def _held_for(self, workspace: str) -> asyncio.Future[str]:
        return self._held.setdefault(workspace, asyncio.get_running_loop().create_future())

    async def first_claim_of(self, workspace: str) -> str:
        """Wait for the first claim of a Workspace that came to a silent cloud; return its name."""
        return await self._held_for(workspace)

    async def say(self, claim: str, *conditions: dict[str, Any]) -> None:
        """Write what Karpenter says of a claim."""
        status = {"conditions": list(conditions)}
        await self.api.merge(f"{CLAIMS}/{claim}/status", {"status": status})

    async def speak_of(self, claim: str, reason: str, text: str) -> None:
        """Write an Event about a claim, as Karpenter does where a cloud has no machine."""
        about = {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": claim}
        event = {
            "metadata": {"name": f"{claim}.{reason.lower()}", "namespace": "default"},
            "involvedObject": about,
            "type": "Warning",
            "reason": reason,
            "message": text,
        }
        await self.api.create("/api/v1/namespaces/default/events", event)

    async def give_up(self, claim: str) -> None:
        """Delete a claim; with a silent cloud it stays until it is let go."""
        await self.api.delete(f"{CLAIMS}/{claim}")

    async def let_go(self, claim: str) -> None:
        """Let a claim that is being deleted be gone."""
        await self.api.merge(f"{CLAIMS}/{claim}", {"metadata": {"finalizers": None}})

    async def _terminate(self, claim: dict[str, Any]) -> None:
        if self.silent:
            return
        name = claim["metadata"]["name"]
        await self.api.delete(f"/api/v1/nodes/{name}")
        await self.let_go(name)
