"""A roll-out starts a pod before it stops one where a GPU is free for it, and says how it goes."""

from dataclasses import replace
from typing import Any

import pytest
from workspace_operator.api import Rollout, Workspace
from workspace_operator.objects import desired_objects, is_rolling, wanted_revision
from workspace_operator.objects.surge import START_FIRST, STOP_FIRST, manner
from workspace_operator.plan import Plan
from workspace_operator.snapshot import Snapshot
from workspace_operator.status import report

from tests.builders import (
    BYO,
    SETTINGS,
    Manifest,
    as_stored,
    at,
    claim,
    planned,
    pod,
    running,
    workspace,
)
from tests.builders import node as node_of
from tests.builders.situations.row import SERVES

MARK = "atelier.kaito.sh/config-hash"


def wish(image: str) -> tuple[Workspace, Plan]:
    preset = {"name": "mistral-7b-instruct", "presetOptions": {"image": f"r.example/m:{image}"}}
    made = workspace(instance_type=None, inference={"preset": preset})
    return made, planned(made, BYO)


def revision(image: str) -> str:
    return wanted_revision(*wish(image), BYO)


def live(image: str, strategy: Manifest = STOP_FIRST, **status: object) -> Manifest:
    """Return the Deployment of a revision as it stands when it has been rolled out."""
    made, plan = wish(image)
    here = Snapshot.parse(nodes=[node("a")])
    objects = desired_objects(made, plan, here, BYO, at(0))
    (deployment,) = [each for each in objects if each["kind"] == "Deployment"]
    stored = as_stored(deployment)
    stored["metadata"]["generation"] = 4
    stored["spec"] = {**stored["spec"], "strategy": {"rollingUpdate": strategy}}
    settled = {"observedGeneration": 4, "replicas": 1, "updatedReplicas": 1}
    return {**stored, "status": settled | status}


def node(name: str, **facts: Any) -> Manifest:  # noqa: ANN401 - as the builder
    spec = facts.pop("spec", {})
    return node_of(name, **{"labels": {"apps": "mistral"}, **facts}) | {"spec": spec}


def model(name: str, image: str, on: str) -> Manifest:
    made = pod(name, state=running(), ready=True)
    made["metadata"]["annotations"] = {MARK: revision(image)}
    return made | {"spec": made["spec"] | {"nodeName": on}}


def holder(name: str, on: str, gpus: int = 1) -> Manifest:
    limits = {"nvidia.com/gpu": str(gpus)}
    return {
        "metadata": {"name": name, "namespace": "other"},
        "spec": {"nodeName": on, "containers": [{"resources": {"limits": limits}}]},
        "status": {"phase": "Running"},
    }


OURS = holder("mistral-old", "a")
TAINT = {"key": "team", "value": "other", "effect": "NoSchedule"}


def world(deployment: Manifest | None = None, **facts: Any) -> Snapshot:  # noqa: ANN401 - as parse
    """Return a world in which revision 1 runs on node a, and node b is idle."""
    return Snapshot.parse(
        **{
            "deployment": deployment or live("1"),
            "nodes": [node("a"), node("b")],
            "pods": [model("mistral-old", "1", "a")],
            "answers": {"mistral-old": SERVES},
            "rivals": [OURS],
            **facts,
        }
    )


@pytest.mark.parametrize(
    ("snapshot", "why"),
    [
        (world(), "node b has room for both"),
        (world(nodes=[node("a", gpus=2)]), "node a has room for both"),
        (world(nodes=[node("a", spec={"unschedulable": True}), node("b")]), "node b has room"),
        (world(live("2", START_FIRST, updatedReplicas=1, replicas=2)), "node b has room"),
    ],
)
def test_a_free_gpu_lets_the_next_pod_start_first(snapshot: Snapshot, why: str) -> None:
    made, plan = wish("2")
    how = manner(made, plan, snapshot, revision("2"))
    assert (how.starts_first, how.strategy) == (True, START_FIRST)
    assert why in how.why


@pytest.mark.parametrize(
    ("snapshot", "why"),
    [
        (world(nodes=[node("a")]), "has 1 free nvidia.com/gpu (held: a by other/mistral-old)"),
        (world(rivals=[OURS, holder("train", "b")]), "a by other/mistral-old, b by other/train"),
        (world(nodes=[node("a"), node("b", ready=False)]), "no node that matches"),
        (world(nodes=[node("a"), node("b", gpus=0)]), "no node that matches"),
        (world(nodes=[node("a"), node("b", labels={"apps": "else"})]), "no node that matches"),
        (world(nodes=[node("a"), node("b", spec={"unschedulable": True})]), "takes pods"),
        (world(nodes=[node("a"), node("b", spec={"taints": [TAINT]})]), "takes pods"),
        (
            world(
                live("2", START_FIRST, updatedReplicas=1, replicas=2),
                pods=[
                    model("mistral-old", "1", "a"),
                    {**pod("mistral-new", placed=False)}
                    | {"metadata": {"name": "mistral-new", "annotations": {MARK: revision("2")}}},
                ],
            ),
            "pod mistral-new found no place beside it",
        ),
        (world(live("2", STOP_FIRST, updatedReplicas=1, replicas=2)), ""),
        (world(live("2", START_FIRST)), ""),
        (world(rivals=None), ""),
    ],
    ids=[
        "alone",
        "held by another",
        "not ready",
        "without a GPU",
        "another label",
        "cordoned",
        "tainted",
        "not placed",
        "begun by stopping",
        "done",
        "nobody looked",
    ],
)
def test_else_a_pod_is_stopped_first_and_the_user_is_told_why(snapshot: Snapshot, why: str) -> None:
    made, plan = wish("2")
    how = manner(made, plan, snapshot, revision("2"))
    assert (how.starts_first, how.strategy) == (False, STOP_FIRST)
    assert why in how.why
    assert bool(why) == bool(how.why)


def test_a_taint_that_the_template_tolerates_keeps_nobody_away() -> None:
    toleration = {"key": "team", "operator": "Equal", "value": "other"}
    container = {"name": "own", "image": "r.example/own:2"}
    template = {"spec": {"tolerations": [toleration], "containers": [container]}}
    made = workspace(instance_type=None, inference={"template": template})
    _, plan = wish("2")
    snapshot = world(nodes=[node("a"), node("b", spec={"taints": [TAINT]})])
    assert manner(made, plan, snapshot, "another").starts_first


def test_a_model_without_a_gpu_wants_a_node_of_its_own() -> None:
    container = {"name": "own", "image": "r.example/own:2"}
    made = workspace(
        instance_type=None, inference={"template": {"spec": {"containers": [container]}}}
    )
    _, plan = wish("2")
    free = replace(plan, gpus_per_node=0)
    assert manner(made, free, world(), "another").starts_first
    assert not manner(made, free, world(nodes=[node("a")]), "another").starts_first


def test_a_claim_that_one_node_may_hold_is_let_go_first() -> None:
    made, plan = wish("2")
    volume = {"name": "weights", "persistentVolumeClaim": {"claimName": "weights"}}
    old = model("mistral-old", "1", "a")
    old["spec"]["volumes"] = [volume]
    how = manner(made, plan, world(pods=[old]), revision("2"))
    assert not how.starts_first
    assert "PersistentVolumeClaim weights" in how.why


def test_a_machine_that_was_bought_has_room_for_one() -> None:
    made = workspace()
    plan = planned(made)
    snapshot = Snapshot.parse(node_claims=[claim()], nodes=[node_of()], deployment=live("1"))
    how = manner(made, plan, snapshot, "another")
    assert (how.starts_first, how.why) == (False, "each machine was bought for one pod")


@pytest.mark.parametrize(
    ("status", "rolls"),
    [
        ({}, False),
        ({"observedGeneration": 3}, True),
        ({"updatedReplicas": 0}, True),
        ({"replicas": 2}, True),
    ],
)
def test_when_a_roll_out_is_under_way(status: Manifest, rolls: bool) -> None:  # noqa: FBT001
    assert is_rolling(live("1", **status), revision("1")) is rolls
    assert is_rolling(live("1", **status), revision("2"))


def strategy_of(made: Workspace, plan: Plan, snapshot: Snapshot) -> Manifest:
    objects = desired_objects(made, plan, snapshot, BYO, at(300))
    (deployment,) = [each for each in objects if each["kind"] == "Deployment"]
    found: Manifest = deployment["spec"]["strategy"]["rollingUpdate"]
    return found


def test_the_deployment_says_so_while_it_rolls_and_not_afterwards() -> None:
    made, plan = wish("2")
    assert strategy_of(made, plan, world()) == START_FIRST
    done = world(live("2", START_FIRST), pods=[model("mistral-new", "2", "b")], rivals=None)
    assert strategy_of(made, plan, done) == STOP_FIRST


def test_a_revision_that_was_taken_back_makes_room_by_stopping() -> None:
    made, plan = wish("2")
    failed = Rollout(serving=revision("1"), failed=revision("2"), message="it crashed")
    status = made.status.model_copy(update={"rollout": failed})
    made = made.model_copy(update={"status": status})
    assert strategy_of(made, plan, world(live("2", START_FIRST))) == STOP_FIRST


def rolled(made: Workspace, plan: Plan, snapshot: Snapshot) -> tuple[Workspace, str]:
    """Return the Workspace with what was reported, and what is said about the roll-out."""
    trial = Rollout(serving=revision("1"), candidate=revision("2"), since=at(299))
    status = report(made, plan, snapshot, at(300), rollout=trial)
    found = status.condition("RolledOut")
    assert found
    assert found.reason == "RollingOut"
    return made.model_copy(update={"status": status}), found.message


def test_the_user_reads_how_it_goes_until_it_is_done() -> None:
    made, plan = wish("2")
    told, message = rolled(made, plan, world())
    assert "beside revision" in message
    assert "node b has room for both" in message
    alone = world(nodes=[node("a")])
    told, message = rolled(made, plan, alone)
    assert "is stopped before the next one starts: no node that matches" in message
    begun = world(
        live("2", STOP_FIRST, updatedReplicas=0, replicas=0), nodes=[node("a")], rivals=[]
    )
    told, later = rolled(told, plan, begun)
    assert later == message, "it was decided when it began"
    _, later = rolled(told, plan, world(live("2"), rivals=None))
    assert later == message
    assert SETTINGS.node_provisioner is not BYO.node_provisioner
