"""What holds for every world, also for ones that nobody thought of."""

import copy
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from workspace_operator import conditions
from workspace_operator.api import NodeAttempt, WorkspaceStatus
from workspace_operator.api.parse import parse_status
from workspace_operator.snapshot import ModelAnswer, Snapshot
from workspace_operator.status import report, requeue_after_seconds

from tests.builders import (
    BYO,
    SETTINGS,
    Manifest,
    at,
    claim,
    ended,
    node,
    planned,
    pod,
    running,
    waiting,
    workspace,
)

MOMENTS = st.sampled_from([0.0, 0.4, 3.7, 12.0, 299.9, 4000.0]).map(at)
STATES = st.sampled_from(
    [
        None,
        running(),
        waiting("ErrImagePull"),
        waiting("CrashLoopBackOff"),
        waiting("RunContainerError"),
    ]
)
ANSWERS = st.builds(
    ModelAnswer,
    ready=st.booleans(),
    phase=st.sampled_from(["", "loading", "warming", "ready", "draining", "failed", "new-word"]),
    bytes_loaded=st.integers(0, 100),
    bytes_total=st.integers(0, 100),
    seconds=st.dictionaries(
        st.sampled_from(["import", "load", "first_token"]), st.floats(0, 1000), max_size=3
    ),
    model_name=st.sampled_from(["", "mistral-7b-instruct"]),
    error=st.sampled_from(["", "CUDA out of memory", "{braces} and\nlines"]),
    token_generated=st.booleans(),
)


@st.composite
def claims(draw: st.DrawFn) -> Manifest:
    return claim(
        draw(st.sampled_from(["ws1", "ws2", "ws3", None])),
        steps=draw(st.integers(0, 3)),
        obstacle=draw(
            st.sampled_from([("", ""), ("LaunchFailed", "no {quota}"), ("a b", "x" * 999)])
        ),
        ordinal=draw(st.sampled_from([None, 0, 1, 7])),
        uid=draw(st.sampled_from([None, "uid-1", "uid-0"])),
        deleting=draw(st.booleans()),
    )


@st.composite
def nodes(draw: st.DrawFn) -> Manifest:
    return node(
        draw(st.sampled_from(["node-1", "node-2"])),
        gpus=draw(st.integers(0, 2)),
        ready=draw(st.booleans()),
        labels=draw(st.sampled_from([None, {"apps": "mistral"}, {}])),
        since=draw(st.sampled_from([-9000, 100])),
    )


@st.composite
def pods(draw: st.DrawFn) -> Manifest:
    return pod(
        draw(st.sampled_from(["mistral-a", "mistral-b"])),
        state=copy.deepcopy(draw(STATES)),
        last=draw(
            st.sampled_from([None, ended(0), ended(1, message="401"), ended(137, "OOMKilled")])
        ),
        ready=draw(st.booleans()),
        placed=draw(st.booleans()),
        restarts=draw(st.integers(0, 2)),
        **draw(st.sampled_from([{}, {"phase": "Failed", "message": "low on disk"}])),
    )


ATTEMPTS = st.lists(
    st.builds(
        NodeAttempt,
        ordinal=st.integers(0, 3),
        attempt=st.integers(0, 40),
        failures=st.integers(0, 40),
        ready_at=st.none() | MOMENTS,
        claim=st.sampled_from([None, "ws1", "ws2"]),
        reason=st.sampled_from([None, "NoStock", "two words"]),
        time=st.none() | MOMENTS,
    ),
    max_size=3,
    unique_by=lambda attempt: attempt.ordinal,
).map(tuple)


@st.composite
def worlds(draw: st.DrawFn) -> Snapshot:
    foreign: Any = {"metadata": {"name": "mistral"}}
    return Snapshot.parse(
        node_claims=draw(st.lists(claims(), max_size=3, unique_by=lambda c: c["metadata"]["name"])),
        nodes=draw(st.lists(nodes(), max_size=2)),
        pods=draw(st.lists(pods(), max_size=2, unique_by=lambda p: p["metadata"]["name"])),
        answers=draw(st.dictionaries(st.sampled_from(["mistral-a", "mistral-b"]), ANSWERS)),
        service=draw(st.sampled_from([None, foreign])),
    )


@settings(deadline=None, max_examples=150)
@given(worlds(), ATTEMPTS, st.integers(1, 3), MOMENTS, st.sampled_from([SETTINGS, BYO]), st.data())
def test_a_report_is_valid_honest_and_changes_nothing_when_repeated(
    snapshot: Snapshot,
    attempts: tuple[NodeAttempt, ...],
    count: int,
    now: Any,  # noqa: ANN401 - a datetime, drawn
    chosen: Any,  # noqa: ANN401 - Settings, drawn
    data: st.DataObject,
) -> None:
    made = workspace(WorkspaceStatus(node_attempts=attempts), count=count)
    plan = planned(made, chosen)
    fault = data.draw(st.sampled_from(["", "forbidden {x}"]))
    status = report(made, plan, snapshot, now, fault=fault)

    stored = parse_status(status.to_manifest())
    assert stored == status, "what is written is what is read back"
    again = made.model_copy(update={"status": stored})
    assert report(again, plan, snapshot, now, fault=fault) == status

    served = any(
        each.ready and snapshot.answers.get(each.name, ModelAnswer()).token_generated
        for each in snapshot.current_pods
    )
    by_type = {each.type: each for each in status.conditions}
    assert len(by_type) == len(status.conditions)
    if by_type["InferenceReady"].status == conditions.TRUE:
        assert served
    if by_type["Ready"].status == conditions.TRUE:
        assert status.state == "Ready"
        assert status.phase == "Ready"
    else:
        assert status.phase
        assert by_type["Ready"].message == by_type["WorkspaceSucceeded"].message
    assert requeue_after_seconds(status, now, SETTINGS) >= 0.5


@settings(deadline=None, max_examples=60)
@given(worlds(), ATTEMPTS, MOMENTS)
def test_waiting_alone_writes_nothing_but_the_next_try_and_moving_loads(
    snapshot: Snapshot,
    attempts: tuple[NodeAttempt, ...],
    now: Any,  # noqa: ANN401 - a datetime, drawn
) -> None:
    """Between two events no sentence counts seconds: each change of one would be a write."""
    made = workspace(WorkspaceStatus(node_attempts=attempts))
    plan = planned(made)
    first = report(made, plan, snapshot, now)
    settled = report(made.model_copy(update={"status": first}), plan, snapshot, now)
    later = now + timedelta(seconds=1)
    second = report(made.model_copy(update={"status": settled}), plan, snapshot, later)
    moving = {"node_attempts", "progress", "download", "conditions", "phase"}
    assert second.model_dump(exclude=moving) == settled.model_dump(exclude=moving)
    if second.node_attempts == settled.node_attempts and second.phase == settled.phase:
        assert second.conditions == settled.conditions
