"""What is written: only what is missing or wrong, and never what is not ours."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workspace_operator.changes import (
    Changes,
    NameConflict,
    changes,
    deletion_changes,
    may_release,
)
from workspace_operator.likeness import covers
from workspace_operator.objects import desired_objects
from workspace_operator.snapshot import Snapshot

from tests.builders import (
    BYO,
    OWNER,
    SETTINGS,
    Manifest,
    as_stored,
    at,
    claim,
    node,
    planned,
    workspace,
)


def settled(**changed: Manifest | None) -> Snapshot:
    """Return a world in which everything that is wanted is there."""
    made = workspace()
    snapshot = Snapshot.parse(node_claims=[claim()], nodes=[node()])
    service, policy, deployment = desired_objects(made, planned(made), snapshot, SETTINGS, at(0))
    parts: dict[str, Any] = {
        "node_claims": [claim()],
        "service": as_stored(service),
        "network_policy": as_stored(policy),
        "deployment": as_stored(deployment),
    }
    return Snapshot.parse(nodes=[node()], **(parts | changed))


def todo(snapshot: Snapshot, **facts: Any) -> Changes:  # noqa: ANN401 - as `workspace`
    made = workspace(**facts)
    plan = planned(made)
    wanted = desired_objects(made, plan, snapshot, SETTINGS, at(0))
    return changes(made, plan, wanted, snapshot, at(0))


def test_a_network_policy_that_is_not_wanted_any_more_goes() -> None:
    made, snapshot = workspace(), settled()
    plan, without = planned(made), replace(SETTINGS, model_network_policy=False)
    wanted = desired_objects(made, plan, snapshot, without, at(0))
    found = changes(made, plan, wanted, snapshot, at(0))
    assert not found.apply
    (gone,) = found.delete
    assert (gone.kind, gone.name, gone.uid) == ("NetworkPolicy", "mistral-model", "uid-of-child")


def kinds(found: Changes) -> list[str]:
    return [each["kind"] for each in found.apply]


def test_nothing_is_written_when_everything_is_there() -> None:
    assert not todo(settled())
    assert todo(settled()) == Changes()


def test_everything_is_written_when_nothing_is_there() -> None:
    assert kinds(todo(Snapshot())) == ["NodeClaim", "Service"]


@given(st.data())
def test_applying_what_is_wanted_leaves_nothing_to_write(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 3))
    balancer = data.draw(st.sampled_from(["True", "true", ""]))
    made = workspace(count=count, annotations={"kaito.sh/enablelb": balancer})
    plan = planned(made)
    nodes = [node(f"node-{n}") for n in range(data.draw(st.integers(0, 4)))]
    before = Snapshot.parse(nodes=nodes)
    wanted = desired_objects(made, plan, before, SETTINGS, at(0))
    by_kind: dict[str, list[Manifest]] = {}
    for each in wanted:
        by_kind.setdefault(each["kind"], []).append(as_stored(copy.deepcopy(each)))
    after = Snapshot.parse(
        nodes=nodes,
        node_claims=by_kind.get("NodeClaim", []),
        service=by_kind["Service"][0],
        network_policy=next(iter(by_kind.get("NetworkPolicy", [])), None),
        deployment=next(iter(by_kind.get("Deployment", [])), None),
    )
    again = desired_objects(made, plan, after, SETTINGS, at(0))
    assert not changes(made, plan, again, after, at(0))


def drifted(snapshot_part: str, path: list[str | int], value: object) -> Snapshot:
    live = copy.deepcopy(getattr(settled(), snapshot_part))
    place = live
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return settled(**{snapshot_part: live})


CONTAINER: list[str | int] = ["spec", "template", "spec", "containers", 0]


@pytest.mark.parametrize(
    ("part", "path", "value", "written"),
    [
        ("deployment", ["spec", "replicas"], 3, ["Deployment"]),
        ("deployment", [*CONTAINER, "image"], "evil", ["Deployment"]),
        ("deployment", [*CONTAINER, "args"], ["--preset=mistral-7b-instruct"], ["Deployment"]),
        ("deployment", [*CONTAINER, "securityContext"], None, ["Deployment"]),
        ("deployment", ["metadata", "annotations", "note"], "theirs", []),
        ("deployment", [*CONTAINER, "resources", "requests", "cpu"], "2000m", []),
        ("deployment", [*CONTAINER, "terminationMessagePath"], "/dev/termination-log", []),
        (
            "deployment",
            ["metadata", "annotations", "atelier.kaito.sh/desired-hash"],
            "of an older wish",
            ["Deployment"],
        ),
        ("network_policy", ["spec", "ingress", 0, "from"], None, ["NetworkPolicy"]),
        ("network_policy", ["spec", "egress"], [{}], ["NetworkPolicy"]),
        ("network_policy", ["spec", "ingress", 0, "from", 0], {}, ["NetworkPolicy"]),
        ("network_policy", ["spec", "policyTypes"], ["Ingress"], ["NetworkPolicy"]),
        ("service", ["spec", "type"], "NodePort", ["Service"]),
        ("service", ["spec", "ports", 0, "nodePort"], 30080, []),
        ("service", ["spec", "selector"], {}, ["Service"]),
        ("service", ["metadata", "ownerReferences"], None, ["Service"]),
    ],
)
def test_drift_is_mended_and_other_writers_fields_are_left(
    part: str, path: list[str | int], value: object, written: list[str]
) -> None:
    assert kinds(todo(drifted(part, path, value))) == written


def test_the_load_balancer_follows_the_annotation_both_ways() -> None:
    wish = {"kaito.sh/enablelb": "True"}
    found = todo(settled(), annotations=wish)
    assert found.apply[0]["spec"]["type"] == "LoadBalancer"
    service, policy = map(as_stored, found.apply)
    balanced = settled(service=service, network_policy=policy)
    assert not todo(balanced, annotations=wish)
    assert kinds(todo(balanced)) == ["Service", "NetworkPolicy"]
    assert todo(balanced).apply[0]["spec"]["type"] == "ClusterIP"


def test_a_standing_claim_is_never_written_again() -> None:
    """Karpenter refuses any change of a claim's spec, so a changed plan must not try."""
    found = todo(settled(), annotations={"kaito.sh/node-image-family": "azurelinux"})
    assert "NodeClaim" not in kinds(found)


def test_claims_beyond_the_count_are_deleted_by_uid() -> None:
    extra = claim("extra", ordinal=1)
    found = todo(settled(node_claims=[claim(), extra]))  # type: ignore[arg-type]  # a list of claims
    assert [(each.kind, each.name, each.uid) for each in found.delete] == [
        ("NodeClaim", "extra", "uid-of-extra")
    ]


def test_brought_machines_are_never_deleted() -> None:
    made = workspace()
    plan = planned(made, BYO)
    snapshot = Snapshot.parse(node_claims=[claim("a", ordinal=0), claim("b", ordinal=1)])
    assert changes(made, plan, (), snapshot, at(0)).delete == ()


@pytest.mark.parametrize("part", ["service", "deployment"])
def test_an_object_of_somebody_else_is_neither_changed_nor_deleted(part: str) -> None:
    live = copy.deepcopy(getattr(settled(), part))
    live["metadata"]["ownerReferences"] = [{"uid": "theirs", "controller": True}]
    live["spec"] = {}
    snapshot = settled(**{part: live})
    found = todo(snapshot)
    assert part.capitalize() not in kinds(found)
    assert found.conflicts == (NameConflict(kind=part.capitalize(), name="mistral"),)
    gone = deletion_changes(OWNER, snapshot)
    assert part.capitalize() not in [each.kind for each in gone.delete]


def test_a_deletion_takes_claims_and_workload_by_uid() -> None:
    gone = deletion_changes(OWNER, settled())
    assert [(each.kind, each.api_version, each.namespace) for each in gone.delete] == [
        ("NodeClaim", "karpenter.sh/v1", None),
        ("Deployment", "apps/v1", "team"),
        ("Service", "v1", "team"),
        ("NetworkPolicy", "networking.k8s.io/v1", "team"),
    ]
    assert all(each.uid for each in gone.delete)
    assert not may_release(OWNER, settled())


def test_a_deletion_repeats_nothing_that_is_under_way() -> None:
    snapshot = Snapshot.parse(node_claims=[claim(deleting=True)])
    assert not deletion_changes(OWNER, snapshot)
    assert not may_release(OWNER, snapshot)
    assert may_release(OWNER, Snapshot())


LIKE: list[tuple[object, object, bool]] = [
    ({"a": 1}, {"a": 1, "b": 2}, True),
    ({"a": 1}, {"b": 2}, False),
    ({"a": {}}, {}, True),
    ({"a": []}, {}, True),
    ({"a": {"b": 1}}, {}, False),
    ([{"name": "x", "v": 1}], [{"name": "y"}, {"name": "x", "v": 1, "d": 0}], True),
    ([{"name": "x"}], [], False),
    (["a", "b"], ["b", "a"], False),
    (["a"], ["a", "b"], False),
    ("1Gi", "1024Mi", True),
    ("1", 1, True),
    ("2", "2000m", True),
    ("1G", "1Gi", False),
    (0.5, 0.5, True),
    (True, "true", False),
    (1, True, False),
    (False, False, True),
    ("x", "y", False),
    ({"a": 1}, None, False),
    ([], None, False),
]


@pytest.mark.parametrize(("wanted", "live", "alike"), LIKE)
def test_likeness(wanted: object, live: object, alike: bool) -> None:  # noqa: FBT001 - a table
    assert covers(wanted, live) is alike


VALUES = st.recursive(
    st.booleans() | st.integers(-5, 5) | st.sampled_from(["a", "1Gi", "1024Mi", "2"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "b", "c"]), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(VALUES)
def test_everything_is_like_itself(value: object) -> None:
    assert covers(value, value)


@given(st.dictionaries(st.sampled_from(["name", "b", "c"]), VALUES, max_size=3), VALUES)
def test_an_added_key_changes_nothing(wanted: dict[str, object], added: object) -> None:
    assert covers(wanted, {**wanted, "added-by-another": added})


@pytest.mark.parametrize(
    ("part", "mark"),
    [
        ("deployment", {"metadata": {"annotations": {"workspace.kaito.io/revision": "1"}}}),
        ("service", {"spec": {"selector": {"statefulset.kubernetes.io/pod-name": "mistral-0"}}}),
        ("service", {"spec": {"ports": [{"name": "ray", "port": 6379}]}}),
    ],
)
def test_what_kaito_made_is_replaced_whole_and_ours_is_not(part: str, mark: Manifest) -> None:
    ours = getattr(settled(), part)
    kaitos = copy.deepcopy(ours)
    del kaitos["metadata"]["annotations"]["atelier.kaito.sh/desired-hash"]
    marked = {**kaitos, **{key: {**kaitos[key], **value} for key, value in mark.items()}}
    first = todo(settled(**{part: marked}))
    assert [each.name for each in first.delete] == [ours["metadata"]["name"]]
    assert first.apply == (), "it is made again when the other is gone"
    assert todo(settled(**{part: kaitos})).delete == (), "an annotation that was lost is no mark"
