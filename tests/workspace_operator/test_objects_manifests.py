"""The manifests that the operator makes: kept as files, and the rules that they must obey."""

from typing import Any

import pytest
import yaml
from workspace_operator.objects import desired_objects
from workspace_operator.objects.metadata import claim_name, digest, is_ours, with_desired_hash
from workspace_operator.objects.placement import matching_nodes, node_terms, usable_nodes
from workspace_operator.snapshot import Snapshot

from tests.builders import (
    BYO,
    OWNER,
    SETTINGS,
    TINY,
    as_stored,
    at,
    claim,
    node,
    planned,
    workspace,
)
from tests.builders.golden import FOLDER, golden_manifests, rendered


@pytest.mark.parametrize("name", sorted(golden_manifests()))
def test_the_manifest_is_the_one_on_file(name: str) -> None:
    """On a wanted change run `python -m tests.builders.golden` and read the difference."""
    on_file = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert on_file == rendered(golden_manifests()[name])


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(golden_manifests())


def kinds(snapshot: Snapshot, **facts: Any) -> list[str]:  # noqa: ANN401 - as `workspace`
    made = workspace(**facts)
    plan = planned(made)
    return [each["kind"] for each in desired_objects(made, plan, snapshot, SETTINGS, at(0))]


def test_a_new_workspace_gets_a_claim_and_a_service_but_no_deployment() -> None:
    assert kinds(Snapshot()) == ["NodeClaim", "Service"]


@pytest.mark.parametrize(
    ("count", "nodes", "opens"),
    [
        (1, [node()], True),
        (1, [node(ready=False)], False),
        (1, [node(gpus=0)], False),
        (1, [node(labels={"apps": "mistral"})], False),
        (1, [], False),
        (2, [node("a"), node("b", gpus=0)], False),
        (2, [node("a"), node("b")], True),
    ],
)
def test_the_deployment_waits_for_as_many_nodes_as_it_needs(
    count: int,
    nodes: list[dict[str, Any]],
    opens: bool,  # noqa: FBT001 - a table
) -> None:
    claims = [claim(ordinal=ordinal) for ordinal in range(count)]
    snapshot = Snapshot.parse(node_claims=claims, nodes=nodes)
    wanted = ["Service", "NetworkPolicy", "Deployment"] if opens else ["Service"]
    assert kinds(snapshot, count=count) == wanted


def test_a_deployment_that_exists_is_kept_right_without_any_node() -> None:
    made = workspace()
    deployment = desired_objects(
        made,
        planned(made),
        Snapshot.parse(node_claims=[claim()], nodes=[node()]),
        SETTINGS,
        at(0),
    )[-1]
    snapshot = Snapshot.parse(node_claims=[claim()], deployment=as_stored(deployment))
    assert kinds(snapshot) == ["Service", "NetworkPolicy", "Deployment"]


def test_a_model_for_the_cpu_asks_for_no_gpu() -> None:
    made = workspace(instance_type=None, preset="tiny-mistral")
    plan = planned(made, BYO, TINY)
    snapshot = Snapshot.parse(nodes=[node(gpus=0, labels={"apps": "mistral"})])
    service, _, deployment = desired_objects(made, plan, snapshot, BYO, at(0))
    assert service["kind"] == "Service"
    containers = deployment["spec"]["template"]["spec"]["containers"]
    assert "nvidia.com/gpu" not in yaml.safe_dump(containers)


def test_the_operator_and_the_scheduler_see_the_same_nodes() -> None:
    made = workspace(
        resource={
            "labelSelector": {
                "matchLabels": {"apps": "mistral"},
                "matchExpressions": [
                    {"key": "zone", "operator": "NotIn", "values": ["b"]},
                    {"key": "gpu", "operator": "In", "values": ["a100", "h100"]},
                    {"key": "fast", "operator": "Exists"},
                    {"key": "old", "operator": "DoesNotExist"},
                ],
            }
        }
    )
    plan = planned(made, BYO)
    good = {"apps": "mistral", "gpu": "h100", "fast": ""}
    nodes = [
        node("good", labels=good),
        node("other-app", labels={**good, "apps": "x"}),
        node("zone-b", labels={**good, "zone": "b"}),
        node("zone-c", labels={**good, "zone": "c"}),
        node("t4", labels={**good, "gpu": "t4"}),
        node("slow", labels={"apps": "mistral", "gpu": "h100"}),
        node("old", labels={**good, "old": "yes"}),
        node("not-ready", labels=good, ready=False),
    ]
    snapshot = Snapshot.parse(nodes=nodes)
    assert len(node_terms(made, plan)) == 5
    matching = [each.name for each in matching_nodes(made, plan, snapshot)]
    assert matching == ["good", "not-ready", "zone-c"]
    assert [each.name for each in usable_nodes(made, plan, snapshot)] == ["good", "zone-c"]


def test_names_are_those_of_one_workspace_node_and_try_only() -> None:
    name = claim_name(OWNER, 0, 0)
    assert name == claim_name(OWNER, 0, 0)
    assert name.startswith("ws")
    assert len(name) >= 12
    others = {claim_name(OWNER, o, a) for o in range(20) for a in range(20)}
    assert len(others) == 400


@pytest.mark.parametrize(
    ("metadata", "ours"),
    [
        ({"ownerReferences": [{"uid": "uid-1", "controller": True}]}, True),
        ({"ownerReferences": [{"uid": "another", "controller": True}]}, False),
        ({"labels": {"kaito.sh/workspace": "mistral"}}, True),
        (
            {
                "labels": {"kaito.sh/workspace": "mistral"},
                "ownerReferences": [{"uid": "another", "controller": True}],
            },
            False,
        ),
        ({"labels": {"kaito.sh/workspace": "other"}}, False),
        ({}, False),
    ],
)
def test_ownership(metadata: dict[str, Any], ours: bool) -> None:  # noqa: FBT001 - a table
    assert is_ours(OWNER, {"metadata": metadata}) is ours


def test_the_hash_follows_the_content_not_the_order() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    manifest = {"kind": "X", "metadata": {"name": "x"}}
    assert with_desired_hash(manifest) == with_desired_hash(manifest)
    assert "annotations" not in manifest["metadata"], "the argument stays as it was"


def test_the_owner_reference_asks_for_no_right_to_block_a_deletion() -> None:
    """An API server that enforces this right refuses it right after the definition came."""
    made = workspace()
    snapshot = Snapshot.parse(node_claims=[claim()], nodes=[node()])
    wanted = desired_objects(made, planned(made), snapshot, SETTINGS, at(0))
    children = [each for each in wanted if "ownerReferences" in each["metadata"]]
    assert {each["kind"] for each in children} == {"Service", "NetworkPolicy", "Deployment"}
    assert all("blockOwnerDeletion" not in str(each["metadata"]) for each in children)


@pytest.mark.parametrize(
    ("running", "count", "nodes", "wanted"),
    [
        (1, 1, 0, 1),  # the node is away: its pod waits for its return
        (1, 3, 1, 1),  # scaled up, no node yet
        (1, 3, 2, 2),
        (1, 3, 3, 3),
        (3, 1, 3, 1),  # scaled down
        (5, 3, 3, 3),  # somebody else scaled it
        (0, 1, 1, 1),
    ],
)
def test_pods_are_added_when_their_nodes_are_there(
    running: int, count: int, nodes: int, wanted: int
) -> None:
    made = workspace(count=count)
    plan = planned(made)
    found = Snapshot.parse(
        node_claims=[claim(ordinal=ordinal) for ordinal in range(nodes)],
        nodes=[node(f"node-{number}") for number in range(nodes)],
        deployment={
            "metadata": {"labels": {"kaito.sh/workspace": OWNER.name}},
            "spec": {"replicas": running},
        },
    )
    (deployment,) = [
        each
        for each in desired_objects(made, plan, found, SETTINGS, at(0))
        if each["kind"] == "Deployment"
    ]
    assert deployment["spec"]["replicas"] == wanted
