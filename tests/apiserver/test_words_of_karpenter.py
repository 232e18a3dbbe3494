"""
What the real Karpenter says of a claim, state by state: it is told, and it outlives the claim.

A finalizer of the test's holds each claim while Karpenter lets it go, so that its end is a state
that is reached, not a moment that is met.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cluster import ControlPlane, make_node_ready
from tests.world import Api, workspaces
from tests.world.api import CLAIMS, Manifest
from tests.world.only_watches import running

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.usefixtures("helm"),
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),  # the first test of a run starts everything
]

HELD = "example.org/held"
SLOW = "slow"
# No test lives that long: its machines never join.
SLOW_NODE_CLASS = {
    "apiVersion": "karpenter.kwok.sh/v1alpha1",
    "kind": "KWOKNodeClass",
    "metadata": {"name": SLOW},
    "spec": {"nodeRegistrationDelay": "10h"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """
    Describe where a claim stands still.

    Attributes:
        step: The condition that is not true, in Karpenter's words its reason and its message.
        reason: That reason.
        says: Words of that message.
        phase: Where the Workspace is meanwhile.
        instance_type: What the Workspace asks for.
        environment: Settings of the operator.
        kubelet_is_ready: Whether the node gets ready, without a GPU.
    """

    step: str
    reason: str
    says: str
    phase: str
    instance_type: str = "Standard_NC24ads_A100_v4"
    environment: dict[str, str] = field(default_factory=dict)
    kubelet_is_ready: bool = False


STATES = {
    "unknown instance type": State(
        step="Launched",
        reason="LaunchFailed",
        says="Standard_Nowhere",
        phase="LaunchingNode",
        instance_type="Standard_Nowhere",
    ),
    "launched and not registered": State(
        step="Registered",
        reason="NodeNotFound",
        says="Node not registered with cluster",
        phase="RegisteringNode",
        environment={"ATELIER_NODE_CLASS_NAME": SLOW},
    ),
    "registered and not ready": State(
        step="Initialized",
        reason="NodeNotReady",
        says="Node status is NotReady",
        phase="PreparingNode",
    ),
    "ready and without its GPU": State(
        step="Initialized",
        reason="ResourceNotRegistered",
        says='Resource "nvidia.com/gpu" was requested but not registered',
        phase="WaitingForGPU",
        kubelet_is_ready=True,
    ),
}


async def standing_still(plane: ControlPlane, api: Api, team: str, state: State) -> str:
    """Wait until Karpenter says of a Workspace's claim what is awaited; return the claim's name."""
    (name,) = await names_of_claims(api, team)
    if state.kubelet_is_ready:
        await workspaces.eventually(
            api, f"{CLAIMS}/{name}", lambda found: bool(node_of(found or {}))
        )
        node = node_of(await workspaces.present(api, f"{CLAIMS}/{name}"))
        await asyncio.to_thread(make_node_ready, plane, node, gpus=0)

    def stands_there(found: Manifest | None) -> bool:
        seen = workspaces.condition(found or {}, state.step)
        return seen.get("reason") == state.reason and state.says in seen["message"]

    await workspaces.eventually(api, f"{CLAIMS}/{name}", stands_there)
    return name


def node_of(claim: Manifest) -> str:
    return str(claim.get("status", {}).get("nodeName", ""))


async def names_of_claims(api: Api, team: str) -> list[str]:
    await workspaces.eventually(
        api,
        workspaces.path(team, "mistral"),
        lambda found: bool((found or {}).get("status", {}).get("nodeAttempts")),
    )
    found = await workspaces.claims(api, team, "mistral")
    return [each["metadata"]["name"] for each in found]


async def is_told(api: Api, team: str, *words: str) -> Manifest:
    """Wait until the condition NodeClaimReady has all these words."""

    def tells(found: Manifest | None) -> bool:
        seen = workspaces.condition(found or {}, "NodeClaimReady").get("message", "")
        return all(each in seen for each in words)

    found = await workspaces.eventually(api, workspaces.path(team, "mistral"), tells)
    assert found is not None
    return found


async def hold(api: Api, name: str, *more: str) -> None:
    """Add a finalizer of ours to a claim, or take it away again."""
    found = await workspaces.present(api, f"{CLAIMS}/{name}")
    others = [each for each in found["metadata"].get("finalizers", []) if each != HELD]
    await api.merge(f"{CLAIMS}/{name}", {"metadata": {"finalizers": [*others, *more]}})


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
async def test_what_a_claim_says_is_told_while_it_stands_while_it_goes_and_when_it_is_gone(
    karpenter_control_plane: ControlPlane, tmp_path: Path, state: State
) -> None:
    plane = karpenter_control_plane
    team = plane.create_namespace()
    plane.apply(SLOW_NODE_CLASS)
    async with running(plane, tmp_path / "log", **state.environment) as api:
        asked = workspaces.workspace(team, instanceType=state.instance_type)
        await api.create(workspaces.path(team), asked)
        name = await standing_still(plane, api, team, state)
        standing = await is_told(api, team, name, state.says)
        assert standing["status"]["phase"] == state.phase
        claim = workspaces.condition(standing, "NodeClaimReady")
        assert claim["reason"] == state.reason

        await hold(api, name, HELD)
        await api.delete(f"{CLAIMS}/{name}")
        await is_told(api, team, f"NodeClaim {name}", "is given up", state.says)
        await workspaces.eventually(
            api,
            f"{CLAIMS}/{name}",
            lambda found: (found or {})["metadata"].get("finalizers") == [HELD],
        )

        await hold(api, name)
        await workspaces.gone(api, f"{CLAIMS}/{name}")
        after = await is_told(api, team, "No machine for", state.says, "Failed tries: 1")
        (attempt,) = after["status"]["nodeAttempts"]
        assert (attempt["reason"], attempt["lastClaim"]) == (state.reason, name)
        assert state.says in attempt["message"]
        await api.delete(workspaces.path(team, "mistral"))
        await workspaces.gone(api, workspaces.path(team, "mistral"))
