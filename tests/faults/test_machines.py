"""
Machines cost money by the minute: whoever dies when, there is never one more than was asked for.

Two ways of buying another one, each with an operator that is killed at every claim that it writes:
on a list of types the cloud refuses one after the other, and a machine without a GPU is given back.
At no revision of etcd may there be more claims than `resource.count`: `stage` asks that of each
test of this folder.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.fault_table.scenarios import Stage
from tests.world import workspaces
from tests.world.api import Manifest
from tests.world.cloud import instance_type
from tests.world.fault_rules import Asked, Kill, Rule

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(240),
]

TYPES = ("Standard_NC24ads_A100_v4", "Standard_NC40ads_H100_v5", "Standard_NV36ads_A10_v5")
BACK_OFF_SCALE = 30.0  # half a minute of back-off in a second
WATCHDOG_SCALE = 120.0  # ten minutes of patience with a machine in five seconds


@contextmanager
def killed_at_claims(stage: Stage) -> Iterator[Counter[str]]:
    """
    Kill the operator twice at each thing that it does to a claim: before it is done, then after.

    Yields how often each was tried: `POST wsa...`. The third time it lives, and can tell.
    """
    tried: Counter[str] = Counter()

    def deed(asked: Asked) -> str:
        if asked.verb not in {"POST", "DELETE"} or asked.plural != "nodeclaims":
            return ""
        name = asked.name or asked.body["metadata"]["name"]
        return f"{asked.verb} {name}" if stage.concerns(asked) else ""

    def first(asked: Asked) -> bool:
        done = deed(asked)
        tried.update([done] if done else [])
        return tried[done] == 1

    def second(asked: Asked) -> bool:
        return tried[deed(asked)] == 2

    rules = [Rule(action=Kill(), picks=first), Rule(action=Kill(), picks=second, moment="after")]
    with stage.bench.proxy.obeying(*rules):
        yield tried


async def test_a_list_of_types_is_gone_through_by_operators_that_die_at_each_claim(
    stage: Stage,
) -> None:
    """Faults 1 and 21, goal G3: two nodes, three types, and only of the last one is there any."""
    bench = stage.bench
    bench.run_by(BACK_OFF_SCALE)
    bench.world.cloud.sold_out = frozenset(TYPES[:-1])
    made = workspaces.workspace(stage.team, count=2)
    made["metadata"]["annotations"] = {"atelier.dev/instance-types": ",".join(TYPES)}
    try:
        with killed_at_claims(stage) as tried:
            async with bench.kept_alive():
                await bench.world.api.create(workspaces.path(stage.team), made)
                await stage.ready(2)
    finally:
        bench.world.cloud.sold_out = frozenset()
    assert [instance_type(claim) for claim in await stage.claims()] == [TYPES[-1]] * 2
    assert len(bench.history.claim_names(stage.team)) == 2 * len(TYPES), "each try has one name"
    assert {f"POST {name}" for name in bench.history.claim_names(stage.team)} == tried.keys()
    assert min(tried.values()) >= 2, "killed before and after each of them"


async def test_a_machine_of_no_use_is_replaced_once_by_operators_that_die_at_it(
    stage: Stage,
) -> None:
    """Faults 1, 20 and 23, goal G3: the node joins and shows no GPU; the next one has one."""
    bench, cloud = stage.bench, stage.bench.world.cloud
    bench.run_by(WATCHDOG_SCALE)
    cloud.gpus, cloud.lets_go = 0, False
    try:
        with killed_at_claims(stage) as tried:
            async with bench.kept_alive():
                await stage.apply()
                broken = await given_back(stage)
                cloud.gpus, cloud.lets_go = 1, True
                await stage.ready()
    finally:
        cloud.gpus, cloud.lets_go = 1, True
    (useful,) = await stage.claims()
    names = {broken, useful["metadata"]["name"]}
    assert bench.history.claim_names(stage.team) == names
    assert tried.keys() == {*(f"POST {name}" for name in names), f"DELETE {broken}"}
    assert min(tried.values()) >= 2, "killed before and after each of them"


async def given_back(stage: Stage) -> str:
    """Wait until the Workspace remembers a claim that was given back, and return its name."""

    def holds(found: Manifest | None) -> bool:
        slots = (found or {}).get("status", {}).get("nodeAttempts", [])
        return any(slot.get("givenBack") for slot in slots)

    where = workspaces.path(stage.team, "mistral")
    found = await workspaces.eventually(stage.bench.world.api, where, holds)
    assert found is not None
    (slot,) = found["status"]["nodeAttempts"]
    (name,) = slot["givenBack"]
    return str(name)
