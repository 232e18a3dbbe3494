"""Answers that are lost, late, wrong or refused: each object is made once, and the others go on."""

import asyncio
import random
from itertools import pairwise

import pytest
import yaml

from tests.cluster import ControlPlane
from tests.fault_table.scenarios import Stage
from tests.world import workspaces
from tests.world.fault_rules import Answer, Asked, Delay, Drop, Kill, Rule, refusal
from tests.world.operator_process import NAMESPACE, RELEASE

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(180),
]
READS = {"GET", "LIST"}
FAST = 10.0  # half a minute in three seconds


async def noise_until_tried_again(stage: Stage, rule: Rule, since: int) -> tuple[float, float]:
    """
    Change the Deployment again and again, until a write that was refused has been tried again.

    Args:
        stage: Where.
        rule: Picks that write.
        since: Of the proxy's log, where the rule came into force.

    Returns:
        When it was refused, and when it was tried again, on the monotonic clock.
    """
    where, number = workspaces.deployment_path(stage.team, "mistral"), 0
    while True:
        log = stage.bench.proxy.log[since:]
        first, *later = (each.at for each in log if rule.picks(each.asked))
        if later:
            return first, later[0]
        number += 1
        note = {"metadata": {"annotations": {"someone.example/note": str(number)}}}
        await stage.bench.world.api.merge(where, note)
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("at", [1, 2, 4, 7])
async def test_killed_at_a_read(stage: Stage, at: int) -> None:
    """Fault 2."""
    rule = Rule(
        action=Kill(),
        picks=lambda asked: asked.verb in READS and stage.concerns(asked),
        nth=at,
    )
    with stage.bench.proxy.obeying(rule):
        await stage.apply()
        await stage.bench.dies()
    stage.bench.operator.start()
    await stage.ready()
    assert len(stage.bench.history.claim_names(stage.team)) == 1


async def test_every_answer_to_a_first_write_is_lost(stage: Stage) -> None:
    """Fault 3: what was done is not known to be done, and is not done twice."""
    heard: set[tuple[str, str]] = set()

    def first_of_its_kind(asked: Asked) -> bool:
        kind = (asked.verb, asked.path)
        new = asked.is_write and stage.concerns(asked) and kind not in heard
        heard.add(kind)
        return new and asked.plural != "events"

    rule = Rule(action=Drop(), picks=first_of_its_kind, moment="after")
    with stage.bench.proxy.obeying(rule):
        await stage.apply()
        await stage.ready()
        await stage.delete()
        await stage.gone()
    assert rule.done >= 6
    assert len(stage.bench.history.claim_names(stage.team)) == 1


@pytest.mark.parametrize("statuses", [(500, 502, 503, 504), (409,), (429,)])
async def test_many_requests_are_refused(stage: Stage, statuses: tuple[int, ...]) -> None:
    """Faults 12 and 13: it takes longer, and that is all; of four codes it may be any."""
    luck = random.Random(sum(statuses))  # noqa: S311 - the same bad luck in every run
    share = 0.1 if 429 in statuses else 0.3

    def picks(asked: Asked) -> bool:
        may = asked.verb != "WATCH" and (409 not in statuses or asked.is_write)
        return may and stage.concerns(asked) and luck.random() < share / len(statuses)

    rules = [
        Rule(
            action=refusal(status, "not now", retry_after=1 if status == 429 else None),
            picks=picks,
        )
        for status in statuses
    ]
    with stage.bench.proxy.obeying(*rules):
        await stage.apply()
        await stage.ready()
    assert sum(rule.done for rule in rules)
    assert len(stage.bench.history.claim_names(stage.team)) == 1


async def test_retry_after_is_kept_although_events_keep_coming(stage: Stage) -> None:
    """Fault 12."""
    await stage.apply()
    await stage.ready()
    rule = Rule(
        action=refusal(429, "slow down", retry_after=4),
        picks=lambda asked: (
            asked.is_write and asked.plural == "services" and asked.namespace == stage.team
        ),
        nth=1,
    )
    api, proxy = stage.bench.world.api, stage.bench.proxy
    since = len(proxy.log)
    with proxy.obeying(rule):
        await api.delete(workspaces.service_path(stage.team, "mistral"))
        while not rule.done:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
        refused, again = await noise_until_tried_again(stage, rule, since)
        await workspaces.present(api, workspaces.service_path(stage.team, "mistral"))
    assert again - refused >= 4


async def test_slow_answers_make_nothing_twice(stage: Stage) -> None:
    """Fault 13: every write takes a second longer than anybody would like."""
    rule = Rule(
        action=Delay(1.0),
        picks=lambda asked: asked.is_write and stage.concerns(asked),
        moment="after",
    )
    with stage.bench.proxy.obeying(rule):
        await stage.apply()
        await stage.ready()
    assert rule.done >= 4


async def test_a_token_is_replaced_while_the_operator_runs(
    stage: Stage, stricken: ControlPlane
) -> None:
    """Fault 14: the old one is refused from one moment to the next."""
    await stage.apply()
    await stage.ready()
    operator, proxy = stage.bench.operator, stage.bench.proxy
    config = yaml.safe_load(operator.kubeconfig.read_text())
    old = config["users"][0]["user"]["token"]
    fresh = await asyncio.to_thread(stricken.kubeconfig_for, NAMESPACE, RELEASE)
    proxy.kubeconfig(fresh, operator.kubeconfig)
    config = yaml.safe_load(operator.kubeconfig.read_text())
    assert config["users"][0]["user"]["token"] != old
    rule = Rule(action=refusal(401, "Unauthorized"), picks=lambda asked: asked.token == old)
    with proxy.obeying(rule):
        proxy.streams.cut()
        await stage.change({"resource": {"count": 2}})
        await stage.ready(2)
        await stage.delete()
        await stage.gone()
    assert rule.done
    assert operator.runs


async def test_a_right_that_is_cut_is_named_and_asked_for_twice_a_minute(stage: Stage) -> None:
    """Faults 15 and 39: the verb and the resource are told, and a neighbour notices nothing."""
    stage.bench.run_by(FAST)
    words = (
        'services \\"mistral\\" is forbidden: User \\"system:serviceaccount:atelier\\" cannot '
        'create resource \\"services\\" in API group \\"\\"'
    )
    await stage.apply()
    await stage.ready()

    def about_its_service(asked: Asked) -> bool:
        name = asked.name or asked.body.get("metadata", {}).get("name")
        return asked.is_write and (asked.namespace, asked.plural, name) == (
            stage.team,
            "services",
            "mistral",
        )

    rule = Rule(action=refusal(403, words), picks=about_its_service)
    api, proxy = stage.bench.world.api, stage.bench.proxy
    since = len(proxy.log)
    with proxy.obeying(rule):
        await api.delete(workspaces.service_path(stage.team, "mistral"))
        found = await stage.has_reason("ClusterRefused")
        message = workspaces.condition(found, "Ready")["message"]
        assert "cannot create resource" in message
        assert "services" in message
        refused, again = await noise_until_tried_again(stage, rule, since)
        assert again - refused >= 30 / FAST, "events do not shorten the pause"
        await api.create(workspaces.path(stage.team), workspaces.workspace(stage.team, "other"))
        await workspaces.in_phase(api, stage.team, "other", "Ready")
    await workspaces.present(api, workspaces.service_path(stage.team, "mistral"))
    await stage.ready()


async def test_an_api_server_that_does_not_know_the_roles_yet_is_asked_again_soon(
    stage: Stage,
) -> None:
    """Fault 4: for some seconds after its start it refuses every read, which is nobody's fault."""
    starting = refusal(403, "forbidden: User cannot get resource")
    rule = Rule(action=starting, picks=lambda asked: asked.verb in READS and stage.concerns(asked))
    with stage.bench.proxy.obeying(rule):
        await stage.apply()
        while rule.done < 3:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
    await stage.ready()
    log = stage.bench.proxy.log
    asked = [each.at for each in log if rule.picks(each.asked)]
    longest = max(later - sooner for sooner, later in pairwise(asked))
    assert longest < 30, "not the half minute that a refused write is left alone"


async def test_a_proxy_in_between_that_answers_with_a_page_is_survived(stage: Stage) -> None:
    """Fault 13: not every answer is JSON."""
    page = Answer(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"})
    rule = Rule(action=page, picks=lambda asked: asked.verb != "WATCH" and stage.concerns(asked))
    with stage.bench.proxy.obeying(rule):
        await stage.apply()
        while rule.done < 3:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    await stage.ready()
    assert [each for each in stage.bench.operator.events() if "JSON" in str(each)] == []
