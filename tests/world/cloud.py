"""
Karpenter and its cloud, played: a NodeClaim becomes a Node at once, or is refused and deleted.

What is kept from the real one: the finalizer, the order of the conditions, the labels that travel
from the claim to its node, and that a claim without capacity is gone a moment after the reason was
written on it.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field

import aiohttp

from tests.world.api import CLAIMS, Api, ApiError, Manifest
from tests.world.clock import WORLD

FINALIZER = "karpenter.sh/termination"
STEPS = ("Launched", "Registered", "Initialized", "Ready")
STEPS_WITHOUT_GPU = STEPS[:2]  # it waits for every resource that the claim asks for
NO_CAPACITY = "InsufficientCapacityError"
NO_CAPACITY_MESSAGE = "no Standard_NC24ads_A100_v4 left in zone 1"


def now() -> str:
    return WORLD().strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, status: str, reason: str = "Played", message: str = "") -> Manifest:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": now(),
    }


def labels_asked_for(claim: Manifest) -> dict[str, str]:
    """Return the labels that a claim asks of its node; of several values the first."""
    return {
        requirement["key"]: requirement["values"][0]
        for requirement in claim["spec"]["requirements"]
        if requirement["operator"] == "In"
    }


def instance_type(claim: Manifest) -> str:
    """Return the instance type that a claim asks for first, or nothing."""
    return labels_asked_for(claim).get("node.kubernetes.io/instance-type", "")


@dataclass(slots=True)
class Cloud:
    """
    Answer every NodeClaim; all of it may be changed at any time.

    Attributes:
        api: The administrator's.
        has_capacity: Whether a claim gets a machine.
        sold_out: Instance types of which there is none.
        refusals: How many claims more are refused though there is capacity.
        makes_nodes: Whether a machine joins as a node.
        lets_go: Whether a machine goes when its claim is deleted.
        gpus: How many GPUs a node shows.
        refused: Names of the claims that were refused.
        created: Names of all claims.
    """

    api: Api
    has_capacity: bool = True
    sold_out: frozenset[str] = frozenset()
    refusals: int = 0
    makes_nodes: bool = True
    lets_go: bool = True
    gpus: int = 1
    refused: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            async for change, claim in self.api.watch(CLAIMS):
                if change == "DELETED":
                    continue
                uid, name = claim["metadata"]["uid"], claim["metadata"]["name"]
                if claim["metadata"].get("deletionTimestamp"):
                    group.create_task(self._safely(self._terminate(claim)))
                elif uid not in self._seen:
                    self._seen.add(uid)
                    self.created.append(name)
                    group.create_task(self._safely(self._launch(claim)))

    async def _safely(self, work: object) -> None:
        """Do what is asked; an object that went away meanwhile is no failure of the cloud."""
        with contextlib.suppress(ApiError, aiohttp.ClientError):
            await work  # type: ignore[misc]

    async def _launch(self, claim: Manifest) -> None:
        path = f"{CLAIMS}/{claim['metadata']['name']}"
        sold_out = instance_type(claim) in self.sold_out
        if not self.has_capacity or sold_out or self.refusals > 0:
            self.refusals = max(0, self.refusals - (not sold_out))
            self.refused.append(claim["metadata"]["name"])
            refusal = condition("Launched", "False", NO_CAPACITY, NO_CAPACITY_MESSAGE)
            await self.api.merge(f"{path}/status", {"status": {"conditions": [refusal]}})
            await self.api.delete(path)
            return
        await self.api.merge(path, {"metadata": {"finalizers": [FINALIZER]}})
        if self.makes_nodes:
            await self.make_node(claim)

    async def make_node(self, claim: Manifest) -> None:
        """Let the machine of a claim join as a Node, with its GPU."""
        name = claim["metadata"]["name"]
        wanted = labels_asked_for(claim)
        resources = {"cpu": "24", "memory": "220Gi", "pods": "100"}
        if self.gpus:
            resources["nvidia.com/gpu"] = str(self.gpus)
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": wanted | claim["metadata"]["labels"]},
            "spec": {"providerID": f"played:///{name}", "taints": claim["spec"].get("taints", [])},
        }
        with contextlib.suppress(ApiError):
            await self.api.create("/api/v1/nodes", node)
        await self.api.merge(
            f"/api/v1/nodes/{name}/status",
            {
                "status": {
                    "capacity": resources,
                    "allocatable": resources,
                    "conditions": [condition("Ready", "True", "KubeletReady")],
                }
            },
        )
        taints = claim["spec"].get("taints", [])  # without the one that every new node is born with
        await self.api.merge(f"/api/v1/nodes/{name}", {"spec": {"taints": taints}})
        steps = STEPS if self.gpus else STEPS_WITHOUT_GPU
        status = {
            "nodeName": name,
            "providerID": f"played:///{name}",
            "conditions": [condition(step, "True", step) for step in steps],
        }
        await self.api.merge(f"{CLAIMS}/{name}/status", {"status": status})

    async def lose(self, claim: Manifest) -> None:
        """Let the machine of a claim vanish: its node goes, then Karpenter collects the claim."""
        name = claim["metadata"]["name"]
        await self.api.delete(f"/api/v1/nodes/{name}")
        await self.api.delete(f"{CLAIMS}/{name}")

    async def _terminate(self, claim: Manifest) -> None:
        name = claim["metadata"]["name"]
        while not self.lets_go:  # noqa: ASYNC110 - a plain switch for tests, as the others are
            await asyncio.sleep(0.05)
        await self.api.delete(f"/api/v1/nodes/{name}")
        await self.api.merge(f"{CLAIMS}/{name}", {"metadata": {"finalizers": None}})
