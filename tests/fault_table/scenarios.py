"""
The eight situations, each as a user or a cloud would bring it about.

`prepare` leads there without a fault, `act` is what happens, `reached` waits for what one hopes
for.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.fault_table.bench import Bench
from tests.world import workspaces
from tests.world.api import Manifest
from tests.world.fault_rules import Asked
from tests.world.oracles.quiet import concerns
from tests.world.oracles.tally import ORDINAL

NAME = "mistral"
OTHER_TYPE = "Standard_NC40ads_H100_v5"
TWO = 2
CONFIG_KEY = "inference_config.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A bench and the namespace of one case."""

    bench: Bench
    team: str

    async def apply(self, resource: Manifest | None = None) -> None:
        """Create the Workspace, with other fields in its `resource` if they are given."""
        made = workspaces.workspace(self.team, NAME, **(resource or {}))
        await self.bench.world.api.create(workspaces.path(self.team), made)

    async def change(self, patch: Manifest) -> None:
        """Change the Workspace as a user does."""
        await self.bench.world.api.merge(workspaces.path(self.team, NAME), patch)

    async def delete(self) -> None:
        """Delete the Workspace."""
        await self.bench.world.api.delete(workspaces.path(self.team, NAME))

    async def ready(self, nodes: int = 1) -> None:
        """Wait until the Workspace is Ready on so many nodes."""

        def holds(found: Manifest | None) -> bool:
            status = (found or {}).get("status", {})
            machines = status.get("workerNodes", [])
            return status.get("phase") == "Ready" and len(machines) == nodes

        await workspaces.eventually(self.bench.world.api, workspaces.path(self.team, NAME), holds)

    async def has_reason(self, reason: str) -> Manifest:
        """Wait until the Workspace says why it is not Ready."""
        return await workspaces.with_reason(self.bench.world.api, self.team, NAME, reason)

    async def gone(self) -> None:
        """Wait until nothing of the Workspace is left."""
        api, team = self.bench.world.api, self.team
        await workspaces.gone(api, workspaces.path(team, NAME))
        await workspaces.gone(api, workspaces.deployment_path(team, NAME))
        await workspaces.gone(api, workspaces.service_path(team, NAME))
        assert await self.claims() == []

    async def looked_at(self) -> None:
        """
        Wait for the end of a pass over the Workspace that has begun since.

        Every pass reads the NetworkPolicy once, and there is one at a time: the first to do so may
        have begun before, the second has not, and it is over when the third one reads.
        """
        log, wanted, look = self.bench.proxy.log, 3, 0
        since = len(log)
        while sum(self._reads_the_policy(each.asked) for each in log[since:]) < wanted:
            look += 1
            await self.change({"metadata": {"annotations": {"someone.example/look": str(look)}}})
            await asyncio.sleep(0.05)

    def _reads_the_policy(self, asked: Asked) -> bool:
        found = (asked.verb, asked.plural, asked.namespace)
        return found == ("GET", "networkpolicies", self.team)

    def concerns(self, asked: Asked) -> bool:
        """Tell of a request whether it is about this case."""
        return concerns(asked, self.team, self.bench.history.claim_names(self.team))

    async def claims(self) -> list[Manifest]:
        """Return the NodeClaims."""
        return await workspaces.claims(self.bench.world.api, self.team, NAME)


Step = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """
    Describe one situation.

    Attributes:
        name: A word or two.
        told: What happens, for the table.
        prepare: Leads there.
        act: What happens.
        reached: Waits for the hoped-for end.
        scale: How fast the time goes, where the operator has to wait for minutes.
        forgiven: Fields of the end state that need not be as without a kill.
    """

    name: str
    told: str
    prepare: Step
    act: Step
    reached: Step
    scale: float = 1.0
    forgiven: frozenset[str] = frozenset()

    @property
    def machines_are_alike(self) -> bool:
        """Say whether it does not matter which machine was made or deleted."""
        return ORDINAL in self.forgiven


async def _nothing(_stage: Stage) -> None:
    """Leave everything as it is."""


async def _one_ready(stage: Stage) -> None:
    await stage.apply()
    await stage.ready()


async def _two_ready(stage: Stage) -> None:
    await stage.apply({"count": TWO})
    await stage.ready(TWO)


async def _create(stage: Stage) -> None:
    await stage.apply()


async def _is_ready(stage: Stage) -> None:
    await stage.ready()


async def _scale_up(stage: Stage) -> None:
    await stage.change({"resource": {"count": TWO}})


async def _on_two(stage: Stage) -> None:
    await stage.ready(TWO)


async def _scale_down(stage: Stage) -> None:
    await stage.change({"resource": {"count": 1}})


async def _on_one(stage: Stage) -> None:
    await stage.ready(1)
    while len(await stage.claims()) > 1:  # noqa: ASYNC110 - the cloud takes its time
        await asyncio.sleep(0.05)


async def _change_type(stage: Stage) -> None:
    await stage.delete()
    await workspaces.gone(stage.bench.world.api, workspaces.path(stage.team, NAME))
    await stage.apply({"instanceType": OTHER_TYPE})


async def _of_other_type(stage: Stage) -> None:
    await stage.ready()


async def _delete(stage: Stage) -> None:
    await stage.delete()


async def _is_gone(stage: Stage) -> None:
    await stage.gone()


async def _lose_node(stage: Stage) -> None:
    (claim,) = await stage.claims()
    await stage.bench.world.cloud.lose(claim)


async def _has_lost_and_found(stage: Stage) -> None:
    while len(stage.bench.history.claim_names(stage.team)) < TWO:  # noqa: ASYNC110 - watched
        await asyncio.sleep(0.05)
    await stage.ready()


async def _no_capacity(stage: Stage) -> None:
    stage.bench.world.cloud.refusals = 1
    await stage.apply()


async def _one_tuned(stage: Stage) -> None:
    config = {"metadata": {"name": "tuned"}, "data": {CONFIG_KEY: "server: {max-sequences: 4}"}}
    api, team = stage.bench.world.api, stage.team
    await api.create(f"/api/v1/namespaces/{team}/configmaps", config)
    made = workspaces.workspace(team, NAME)
    made["inference"]["config"] = "tuned"
    await api.create(workspaces.path(team), made)
    await stage.ready()


async def _reconfigure(stage: Stage) -> None:
    where = f"/api/v1/namespaces/{stage.team}/configmaps/tuned"
    edit = {"data": {CONFIG_KEY: "server: {max-sequences: 8}"}}
    await stage.bench.world.api.merge(where, edit)
    # An edit of a ConfigMap is noticed at the next look; this is one.
    await stage.change({"metadata": {"annotations": {"someone.example/note": "look"}}})


async def _is_reconfigured(stage: Stage) -> None:
    def holds(found: Manifest | None) -> bool:
        containers = (found or {})["spec"]["template"]["spec"]["containers"]
        return "--max-sequences=8" in containers[0]["args"]

    where = workspaces.deployment_path(stage.team, NAME)
    await workspaces.eventually(stage.bench.world.api, where, holds)
    await stage.ready()


# A try is remembered in the status, and a claim may be refused and gone before that is written.
# Then the next life makes the same claim again, at once: it is one try, counted once.
TRIES = frozenset({"attempt", "failures"})

# Of two like machines one stays: the one whose pod the ReplicaSet has left.
WHICH_MACHINE = frozenset({"ordinal", ORDINAL})

SCENARIOS = (
    Scenario(
        name="create",
        told="a Workspace is applied",
        prepare=_nothing,
        act=_create,
        reached=_is_ready,
    ),
    Scenario(
        name="scale up",
        told="`resource.count` from 1 to 2",
        prepare=_one_ready,
        act=_scale_up,
        reached=_on_two,
    ),
    Scenario(
        name="scale down",
        told="`resource.count` from 2 to 1",
        prepare=_two_ready,
        act=_scale_down,
        reached=_on_one,
        forgiven=WHICH_MACHINE,
    ),
    Scenario(
        name="change type",
        told="deleted and applied again with another instance type; the field cannot change",
        prepare=_one_ready,
        act=_change_type,
        reached=_of_other_type,
    ),
    Scenario(
        name="delete",
        told="a Ready Workspace is deleted",
        prepare=_one_ready,
        act=_delete,
        reached=_is_gone,
    ),
    Scenario(
        name="node loss",
        told="the machine vanishes and Karpenter collects its claim",
        prepare=_one_ready,
        act=_lose_node,
        reached=_has_lost_and_found,
        scale=10,
    ),
    Scenario(
        name="no capacity",
        told="the first NodeClaim is refused and deleted by Karpenter",
        prepare=_nothing,
        act=_no_capacity,
        reached=_is_ready,
        scale=10,
        forgiven=TRIES,
    ),
    Scenario(
        name="config change",
        told="the ConfigMap of `inference.config` is edited: the pods are replaced",
        prepare=_one_tuned,
        act=_reconfigure,
        reached=_is_reconfigured,
    ),
)
