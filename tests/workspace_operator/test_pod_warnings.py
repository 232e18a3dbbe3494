"""Events explain a pod that does not explain itself: seldom read, and the same words each time."""

from typing import Any

import pytest
from workspace_operator.cluster import Forbidden, Kind
from workspace_operator.pod_warnings import INTERVAL_SECONDS, MOST_AT_ONCE, PodWarnings
from workspace_operator.snapshot import Pod, PodWarning
from workspace_operator.snapshot.pod_events import is_unexplained, warning_in

from tests.builders import Manifest, at, condition, pod, running, stamp, waiting

UP = condition("PodReadyToStartContainers")
DOWN = condition("PodReadyToStartContainers", "False")
PLACED = condition("PodScheduled", since=205)
SANDBOX = "3f" * 32


def silent(**facts: Any) -> Pod:  # noqa: ANN401 - as the builder
    return Pod.parse(pod(**{"conditions": [PLACED, DOWN], **facts}))


def event(message: str, first: float, last: float, **facts: object) -> Manifest:
    told: Manifest = {
        "type": "Warning",
        "reason": "FailedMount",
        "message": message,
        "firstTimestamp": stamp(first),
        "lastTimestamp": stamp(last),
    }
    return told | facts


@pytest.mark.parametrize(
    ("seen", "seconds", "unexplained"),
    [
        (silent(), 216, True),
        (silent(), 214, False),
        (silent(conditions=[PLACED, UP]), 900, False),  # it pulls its image
        (silent(conditions=[PLACED]), 900, False),  # a kubelet that does not tell
        (silent(ready=True, conditions=[condition("Ready")]), 900, False),
        (silent(phase="Failed"), 900, False),
        (silent(state=waiting("ImagePullBackOff", "Back-off pulling image")), 206, True),
        (silent(state=waiting("ImagePullBackOff", "ErrImagePull: 401")), 900, False),
        (silent(placed=False, conditions=[]), 215, True),
        (silent(placed=False, conditions=[]), 210, False),
        (
            silent(placed=False, conditions=[condition("PodScheduled", "False", "", "0/1 nodes")]),
            900,
            False,
        ),
        (silent(state=running()), 900, False),  # our server is asked how far it is
    ],
)
def test_only_a_pod_that_does_not_say_why_is_asked_about(
    seen: Pod,
    seconds: float,
    unexplained: bool,  # noqa: FBT001 - a column
) -> None:
    assert is_unexplained(seen, at(seconds), own_program=False) is unexplained


def test_a_program_of_the_users_own_is_given_half_a_minute() -> None:
    own = silent(state=running())
    assert not is_unexplained(own, at(289), own_program=True)
    assert is_unexplained(own, at(290), own_program=True)


def test_the_same_trouble_gives_the_same_words_however_it_is_repeated() -> None:
    first = event(f'sandbox "{SANDBOX}": no addresses', 210, 210)
    again = event(f'sandbox "{SANDBOX[::-1]}": no addresses', 240, 240)
    other = event("timed out waiting for volumes", 330, 400)
    for events in ([first], [first, again], [again, other, first], [other, again, first]):
        warning = warning_in(events)
        assert warning == PodWarning(reason="FailedMount", message='sandbox "…": no addresses')


def test_what_has_stopped_is_told_no_more_and_what_is_no_warning_never() -> None:
    old = event("the disk was away", 0, 10)
    new = event("no addresses", 500, 510)
    normal = event("Pulling image", 505, 520, type="Normal")
    assert warning_in([old, new, normal]) == PodWarning(
        reason="FailedMount", message="no addresses"
    )
    assert warning_in([normal]) is None
    assert warning_in([]) is None


def test_events_of_either_version_and_of_none_are_read() -> None:
    series: Manifest = {"firstTimestamp": None, "lastTimestamp": None, "eventTime": stamp(300)}
    warned = warning_in([event("in a series", 0, 0, **series)])
    assert warned == PodWarning(reason="FailedMount", message="in a series")
    assert warning_in([{"type": "Warning", "message": "without a time"}]) is None
    assert warning_in([{"type": 3, "message": ["odd"]}]) is None


class Asked:
    """Answer with the same events, and count who asks for whom."""

    def __init__(self, *events: Manifest) -> None:
        self.events, self.fields = list(events), list[str]()
        self.forbidden = False

    async def list(self, kind: Kind, *, fields: str, **_: object) -> list[Manifest]:
        assert (kind.api_version, kind.plural) == ("v1", "events")
        self.fields.append(fields)
        if self.forbidden:
            raise Forbidden("LIST", "events")
        return self.events


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_pod_is_asked_about_by_its_uid_and_no_oftener_than_the_interval() -> None:
    cluster, clock = Asked(event("no addresses", 210, 230)), Clock()
    warnings = PodWarnings(cluster=cluster, monotonic=clock)  # type: ignore[arg-type]  # one verb
    expected = {"mistral-a": PodWarning(reason="FailedMount", message="no addresses")}
    for seconds in (0.0, INTERVAL_SECONDS - 1, INTERVAL_SECONDS):
        clock.now = seconds
        assert await warnings.of("team", [silent()], at(300), own_program=False) == expected
    assert cluster.fields == ["involvedObject.uid=uid-of-mistral-a,type=Warning"] * 2


async def test_a_right_that_is_missing_takes_nothing_but_the_explanation() -> None:
    cluster, clock = Asked(event("no addresses", 210, 230)), Clock()
    warnings = PodWarnings(cluster=cluster, monotonic=clock)  # type: ignore[arg-type]  # one verb
    heard = await warnings.of("team", [silent()], at(300), own_program=False)
    cluster.forbidden, clock.now = True, 100.0
    assert await warnings.of("team", [silent()], at(300), own_program=False) == heard
    other = [silent(name="mistral-b")]
    assert await warnings.of("team", other, at(300), own_program=False) == {}


async def test_of_many_pods_only_a_few_are_asked_about() -> None:
    cluster = Asked()
    warnings = PodWarnings(cluster=cluster)  # type: ignore[arg-type]  # one verb
    pods = [silent(name=f"mistral-{number}") for number in range(9)]
    assert await warnings.of("team", pods, at(300), own_program=False) == {}
    assert len(cluster.fields) == MOST_AT_ONCE
