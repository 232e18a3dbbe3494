"""Whoever interferes, and whenever: one machine per node, and none in the end."""

import asyncio
import functools
import signal

import pytest

from tests.fault_table.scenarios import Stage
from tests.world import workspaces
from tests.world.api import CLAIMS
from tests.world.clock import Clock
from tests.world.fault_rules import Call, Rule

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(240),
]


FAST = 20.0  # half a minute in a second and a half


def times_of_making(stage: Stage, plural: str) -> list[float]:
    """Return when the operator has tried to make a child of the Workspace."""
    return [
        each.at
        for each in stage.bench.proxy.log
        if (each.asked.verb, each.asked.plural) == ("POST", plural) and stage.concerns(each.asked)
    ]


# The first two writes are the finalizer and the claim: whoever deletes between them is too late to
# stop the second, which is on its way.
@pytest.mark.parametrize("at", [2, 3, 4, 5, 6])
async def test_deleted_after_each_step_of_a_start(stage: Stage, at: int) -> None:
    """Fault 26, goal G10."""
    rule = Rule(
        action=Call(stage.delete),
        picks=lambda asked: asked.is_write and stage.concerns(asked),
        nth=at,
        moment="after",
    )
    with stage.bench.proxy.obeying(rule):
        await stage.apply()
        while not rule.done:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
        await stage.gone()


async def test_made_again_at_once_with_the_same_name(stage: Stage) -> None:
    """Fault 27: the machine of the one that is gone is not taken over."""
    await stage.apply()
    await stage.ready()
    (first,) = await stage.claims()
    await stage.delete()
    await workspaces.gone(stage.bench.world.api, workspaces.path(stage.team, "mistral"))
    await stage.apply()
    await stage.ready()
    (second,) = await stage.claims()
    assert first["metadata"]["name"] != second["metadata"]["name"]


@pytest.mark.parametrize("what", ["deployments", "services", "networkpolicies"])
async def test_a_child_that_is_deleted_comes_back(stage: Stage, what: str) -> None:
    """Fault 16."""
    where = {
        "deployments": workspaces.deployment_path(stage.team, "mistral"),
        "services": workspaces.service_path(stage.team, "mistral"),
        "networkpolicies": (
            f"/apis/networking.k8s.io/v1/namespaces/{stage.team}/networkpolicies/mistral-model"
        ),
    }[what]
    await stage.apply()
    await stage.ready()
    api = stage.bench.world.api
    before = await workspaces.present(api, where)
    await api.delete(where)
    async with asyncio.timeout(5):
        while not (found := await api.get(where)) or (  # noqa: ASYNC110 - another process
            found["metadata"]["uid"] == before["metadata"]["uid"]
        ):
            await asyncio.sleep(0.05)


async def test_an_edit_of_a_child_is_taken_back_and_told_and_what_is_theirs_stays(
    stage: Stage,
) -> None:
    """Faults 11 and 17, goal G9."""
    await stage.apply()
    await stage.ready()
    api = stage.bench.world.api
    where = workspaces.deployment_path(stage.team, "mistral")
    edit = {"metadata": {"annotations": {"team": "blue"}}, "spec": {"replicas": 3}}
    await api.merge(where, edit)
    found = await workspaces.eventually(
        api, where, lambda found: found is not None and found["spec"]["replicas"] == 1
    )
    assert found is not None
    assert found["metadata"]["annotations"]["team"] == "blue"
    await workspaces.eventually(
        api,
        f"/apis/events.k8s.io/v1/namespaces/{stage.team}/events",
        lambda found: (
            found is not None
            and any(
                "Deployment mistral" in each["note"]
                for each in found["items"]
                if each["reason"] == "Drift"
            )
        ),
    )


async def test_a_claim_without_our_labels_is_still_ours(stage: Stage) -> None:
    """Fault 18: it is known by its name, it is not bought again, and it goes with the Workspace."""
    await stage.apply()
    await stage.ready()
    (claim,) = await stage.claims()
    name = claim["metadata"]["name"]
    labels = dict.fromkeys(("kaito.sh/workspace", "kaito.sh/workspacenamespace"))
    api = stage.bench.world.api
    await api.merge(f"{CLAIMS}/{name}", {"metadata": {"labels": labels}})
    await stage.looked_at()
    assert stage.bench.history.claim_names(stage.team) == {name}
    await stage.delete()
    await workspaces.gone(api, workspaces.path(stage.team, "mistral"))
    await workspaces.gone(api, f"{CLAIMS}/{name}")


@pytest.mark.parametrize("at", [1, 3, 5])
async def test_told_to_stop_at_a_write(stage: Stage, at: int) -> None:
    """Fault 40: it ends cleanly, at once, and the next one finishes the work."""

    async def stop() -> None:
        stage.bench.operator.send(signal.SIGTERM)

    rule = Rule(
        action=Call(stop), picks=lambda asked: asked.is_write and stage.concerns(asked), nth=at
    )
    with stage.bench.proxy.obeying(rule):
        await stage.apply()
        await asyncio.wait_for(stage.bench.dies(), 10)
    assert stage.bench.operator.process.returncode == 0
    stage.bench.operator.start()
    await stage.ready()
    assert len(stage.bench.history.claim_names(stage.team)) == 1


@pytest.mark.parametrize("skew", [600.0, -600.0])
async def test_a_clock_that_is_ten_minutes_off_changes_nothing(stage: Stage, skew: float) -> None:
    """Fault 33; the Lease's clock is monotonic (tests/workspace_operator/test_lease.py)."""
    operator = stage.bench.operator
    operator.stop()
    operator.launch = functools.partial(stage.bench.warm, clock=Clock(skew=skew))
    operator.start()
    stage.bench.world.cloud.refusals = 1
    await stage.apply()
    await stage.has_reason("NodeClaimNotReady")
    await stage.delete()
    await stage.gone()


async def test_a_quota_is_told_in_its_own_words(stage: Stage) -> None:
    """Fault 35; it is tried again in half a minute, not sooner."""
    stage.bench.run_by(FAST)
    hard = {"count/deployments.apps": "0"}
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": hard},
    }
    api = stage.bench.world.api
    path = f"/api/v1/namespaces/{stage.team}/resourcequotas"
    await api.create(path, quota)
    await api.merge(f"{path}/none/status", {"status": {"hard": hard, "used": hard}})
    await stage.apply()
    found = await stage.has_reason("ClusterRefused")
    assert "exceeded quota: none" in workspaces.condition(found, "Ready")["message"]
    while len(tries := times_of_making(stage, "deployments")) < 2:  # noqa: ASYNC110 - a process
        await asyncio.sleep(0.05)
    assert tries[1] - tries[0] >= 30 / FAST
    await stage.delete()
    await stage.gone()


async def test_the_spec_changes_at_every_step_of_a_start(stage: Stage) -> None:
    """Fault 38: up and down again, while the first machine is on its way."""
    counts = [3, 2, 1, 2]

    async def change() -> None:
        if counts:
            await stage.change({"resource": {"count": counts.pop(0)}})

    rule = Rule(
        action=Call(change),
        picks=lambda asked: asked.path.endswith(f"{stage.team}/workspaces/mistral/status"),
        moment="after",
    )
    with stage.bench.proxy.obeying(rule):
        await stage.apply()
        while counts:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
    await stage.ready(2)
    assert len(await stage.claims()) == 2
