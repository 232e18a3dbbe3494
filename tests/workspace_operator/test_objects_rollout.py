"""A revision that never generates a token is taken back once, and nothing flaps."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workspace_operator.api import Rollout, Workspace, WorkspaceStatus
from workspace_operator.objects import desired_objects, rollout
from workspace_operator.objects.deployment import pod_template
from workspace_operator.objects.rollout import revision_of
from workspace_operator.plan import Plan
from workspace_operator.snapshot import ModelAnswer, Snapshot
from workspace_operator.snapshot.pods import REVISION_DIGITS
from workspace_operator.status import report

from tests.builders import (
    SETTINGS,
    Manifest,
    as_stored,
    at,
    claim,
    ended,
    node,
    planned,
    running,
    waiting,
)
from tests.builders import pod as pod_of
from tests.builders import workspace as workspace_of

SERVES = ModelAnswer(ready=True, phase="ready", token_generated=True)


def wish(image: str, rollout: Rollout | None = None) -> tuple[Workspace, Plan]:
    preset = {"name": "mistral-7b-instruct", "presetOptions": {"image": f"r.example/m:{image}"}}
    made = workspace_of(WorkspaceStatus(rollout=rollout), inference={"preset": preset})
    return made, planned(made)


def template(image: str) -> Manifest:
    made, plan = wish(image)
    return pod_template(made, plan, SETTINGS)


def revision(image: str) -> str:
    return revision_of(template(image))


def pod(image: str, **facts: Any) -> Manifest:  # noqa: ANN401 - as the builder
    made = pod_of(**facts)
    made["metadata"]["annotations"] = template(image)["metadata"]["annotations"]
    return made


def replica_set(image: str, number: int) -> Manifest:
    kept = template(image)
    labels = kept["metadata"]["labels"] | {"pod-template-hash": "abc"}
    metadata = kept["metadata"] | {"labels": labels, "creationTimestamp": None}
    return {
        "metadata": {"annotations": {"deployment.kubernetes.io/revision": str(number)}},
        "spec": {"template": kept | {"metadata": metadata}},
    }


def world(
    *pods: Manifest, nodes: tuple[Manifest, ...] = (node(),), **answers: ModelAnswer
) -> Snapshot:
    named = {name.replace("_", "-"): answer for name, answer in answers.items()}
    kept = [replica_set("a", 4), replica_set("b", 2), replica_set("c", 3)]
    return Snapshot.parse(
        node_claims=[claim()], nodes=nodes, pods=pods, answers=named, replica_sets=kept
    )


def crashed(image: str, restarts: int = 3) -> Manifest:
    last = ended(1, message="--dtype: unknown")
    return pod(image, state=waiting("CrashLoopBackOff"), last=last, restarts=restarts)


def decided(
    image: str, before: Rollout | None, snapshot: Snapshot, now: datetime
) -> tuple[str, Rollout]:
    """Return the image that is to run, and what is remembered."""
    made, plan = wish(image, before)
    decision = rollout(made, plan, snapshot, SETTINGS, now)
    container = decision.template["spec"]["containers"][0]
    return container["image"].rpartition(":")[2], decision.record


TRIAL = Rollout(serving=revision("a"), candidate=revision("b"), since=at(0))
FAILED = Rollout(serving=revision("a"), failed=revision("b"), message="it crashed")


def test_what_serves_is_remembered() -> None:
    serving = world(pod("a", state=running(), ready=True), mistral_a=SERVES)
    assert decided("a", None, serving, at(0)) == ("a", Rollout(serving=revision("a")))
    assert decided("a", Rollout(serving=revision("a")), world(), at(9)) == (
        "a",
        Rollout(serving=revision("a")),
    ), "a model that stops to answer is no news about the revision"


def test_a_first_revision_has_nothing_to_go_back_to() -> None:
    assert decided("a", None, world(crashed("a", 99)), at(90_000)) == ("a", Rollout())


def test_an_edit_is_tried_and_the_old_one_is_known_by_its_pods() -> None:
    serving = world(pod("a", state=running(), ready=True), mistral_a=SERVES)
    assert decided("b", None, serving, at(0)) == ("b", TRIAL)


@pytest.mark.parametrize(
    ("pods", "seconds", "why"),
    [
        ((), 1799, ""),
        ((), 1800, "no token within 1800 s"),
        ((crashed("b", 2),), 60, ""),
        ((crashed("b", 3),), 1, "ended 3 times, the last time with exit code 1: --dtype: unknown"),
        ((crashed("a", 9),), 60, ""),
        ((pod("b"),), 1000, ""),
        ((pod("b", state=waiting("ImagePullBackOff", "not found")),), 299, ""),
        (
            (pod("b", state=waiting("ImagePullBackOff", "not found")),),
            300,
            "could not start within 300 s: not found",
        ),
    ],
)
def test_when_a_revision_is_given_up(pods: tuple[Manifest, ...], seconds: float, why: str) -> None:
    image, record = decided("b", TRIAL, world(*pods), at(seconds))
    if not why:
        assert (image, record) == ("b", TRIAL)
        return
    assert image == "a"
    assert (record.serving, record.failed) == (revision("a"), revision("b"))
    assert why in (record.message or "")


def test_what_was_taken_back_stays_taken_back_whatever_becomes_of_the_old_one() -> None:
    for snapshot in (world(), world(crashed("a", 50)), world(crashed("b", 50))):
        assert decided("b", FAILED, snapshot, at(99_999)) == ("a", FAILED)


def test_an_edit_is_tried_again_and_the_old_wish_ends_the_matter() -> None:
    image, record = decided("c", FAILED, world(), at(50))
    assert (image, record.candidate, record.failed) == ("c", revision("c"), None)
    assert decided("a", FAILED, world(), at(50)) == ("a", Rollout(serving=revision("a")))


def test_a_token_from_the_revision_that_was_given_up_is_believed() -> None:
    late = world(pod("b", state=running(), ready=True), mistral_a=SERVES)
    assert decided("b", FAILED, late, at(50)) == ("b", Rollout(serving=revision("b")))


def test_without_its_nodes_a_trial_has_not_begun() -> None:
    image, record = decided("b", TRIAL, world(crashed("b"), nodes=()), at(9_999))
    assert (image, record.since) == ("b", None)
    _, again = decided("b", record, world(), at(10_000))
    assert again.since == at(10_000)


def test_where_nothing_is_kept_the_wish_stays() -> None:
    made, plan = wish("b", FAILED)
    bare = Snapshot.parse(node_claims=[claim()], nodes=[node()])
    decision = rollout(made, plan, bare, SETTINGS, at(0))
    assert revision_of(decision.template) == revision("b")


def test_the_kept_template_is_the_whole_of_it_without_the_marks_of_kubernetes() -> None:
    made, plan = wish("b", FAILED)
    (deployment,) = [
        each
        for each in desired_objects(made, plan, world(), SETTINGS, at(0))
        if each["kind"] == "Deployment"
    ]
    assert deployment["spec"]["template"] == template("a")


def test_the_user_is_told_both_names_and_what_failed() -> None:
    made, plan = wish("b", FAILED)
    serving = world(pod("a", state=running(), ready=True), mistral_a=SERVES)
    record = rollout(made, plan, serving, SETTINGS, at(300)).record
    status = report(made, plan, serving, at(300), rollout=record)
    rolled, ready = status.condition("RolledOut"), status.condition("Ready")
    assert rolled
    assert ready
    assert (rolled.status, rolled.reason, ready.reason) == ("False", "BackedOut", "BackedOut")
    assert revision("a") in rolled.message
    assert revision("b") in rolled.message
    assert "it crashed" in rolled.message
    states = {each.type: each.status for each in status.conditions}
    assert (states["InferenceReady"], states["WorkspaceSucceeded"]) == ("True", "True")
    assert (status.state, status.phase) == ("Ready", "BackedOut")
    assert status.rollout == record
    again = made.model_copy(update={"status": status})
    assert report(again, plan, serving, at(300), rollout=record) == status


def test_while_an_edit_is_tried_the_user_is_told_so() -> None:
    made, plan = wish("b", TRIAL)
    status = report(made, plan, world(pod("b", state=running())), at(300), rollout=TRIAL)
    rolled = status.condition("RolledOut")
    assert rolled
    assert (rolled.status, rolled.reason) == ("False", "RollingOut")


steps = st.lists(
    st.tuples(
        st.sampled_from("abc"),  # what is wanted
        st.sampled_from(["serves", "crashes", "starts", "nothing"]),  # what becomes of the pods
        st.integers(0, 2000),  # seconds until the next pass
    ),
    max_size=12,
)


@settings(deadline=None)  # a busy machine is no failure
@given(steps)
def test_for_every_wish_there_is_at_most_one_trial_and_one_way_back(
    history: list[tuple[str, str, int]],
) -> None:
    record: Rollout | None = None
    runs, now = "a", 0
    changes_by_wish: list[tuple[str, int]] = []
    for wanted, becomes, seconds in history:
        now += seconds
        pods = {
            "serves": (pod(runs, state=running(), ready=True),),
            "crashes": (crashed(runs, 9),),
            "starts": (pod(runs, state=running()),),
            "nothing": (),
        }[becomes]
        heard = SERVES if becomes == "serves" else ModelAnswer()
        image, record = decided(wanted, record, world(*pods, mistral_a=heard), at(now))
        same, again = decided(wanted, record, world(*pods, mistral_a=heard), at(now))
        assert (same, again) == (image, record), "a second look changes nothing"
        moved = image != runs
        if changes_by_wish and changes_by_wish[-1][0] == wanted:
            changes_by_wish[-1] = (wanted, changes_by_wish[-1][1] + moved)
        else:
            changes_by_wish.append((wanted, int(moved)))
        assert image in {wanted, *"abc"}
        if image != wanted:
            assert record.failed == revision(wanted)
        runs = image
    assert all(count <= 2 for _, count in changes_by_wish)


def test_a_short_time_out_holds_for_pods_that_cannot_start_too() -> None:
    made, plan = wish("b", TRIAL)
    stuck = world(pod("b", state=waiting("ErrImagePull", "no")))
    quick = replace(SETTINGS, rollout_seconds=10)
    assert rollout(made, plan, stuck, quick, at(10)).record.failed == revision("b")
    assert len(revision("b")) == REVISION_DIGITS


def test_a_crash_between_the_write_and_the_status_tries_nothing_again() -> None:
    made, plan = wish("b", TRIAL)
    given_up = world(crashed("b"))
    wanted = desired_objects(made, plan, given_up, SETTINGS, at(60))
    (deployment,) = [each for each in wanted if each["kind"] == "Deployment"]
    assert revision_of(deployment["spec"]["template"]) == revision("a")
    after = Snapshot.parse(node_claims=[claim()], nodes=[node()], deployment=as_stored(deployment))
    for status in (TRIAL, Rollout(serving=revision("a")), None):
        again, plan = wish("b", status)
        decision = rollout(again, plan, after, SETTINGS, at(61))
        assert decision.template == template("a")
        assert (decision.record.failed, decision.record.serving) == (revision("b"), revision("a"))
        found = desired_objects(again, plan, after, SETTINGS, at(61))
        assert [each for each in found if each["kind"] == "Deployment"] == [deployment]
    edited, plan = wish("c")
    decision = rollout(edited, plan, after, SETTINGS, at(62))
    assert revision_of(decision.template) == revision("c")
