"""An apply that changed nothing is not repeated until the object changes."""

from workspace_operator.settled import MOST_REMEMBERED, Settled

from tests.builders import Manifest

HASH = "atelier.kaito.sh/desired-hash"


def live(version: str = "5", generation: int | None = 2, uid: str = "u") -> Manifest:
    metadata = {"uid": uid, "resourceVersion": version}
    return {"metadata": metadata | ({"generation": generation} if generation else {})}


def wanted(mark: str = "a") -> Manifest:
    return {"metadata": {"annotations": {HASH: mark}}}


def test_an_apply_that_changed_nothing_settles_the_object() -> None:
    settled = Settled()
    assert not settled.is_settled(live(), wanted())
    settled.note(live(), wanted(), live())
    assert settled.is_settled(live(), wanted())
    assert settled.is_settled(live(version="9"), wanted()), "a new status is no change"
    assert not settled.is_settled(live(generation=3), wanted())
    assert not settled.is_settled(live(), wanted("b"))
    assert not settled.is_settled(live(uid="another"), wanted())
    assert not settled.is_settled(None, wanted())


def test_an_apply_that_changed_something_settles_nothing() -> None:
    settled = Settled()
    settled.note(live(version="4"), wanted(), live())
    settled.note(None, wanted(), live())
    assert not settled.is_settled(live(), wanted())


def test_a_kind_without_generations_is_known_by_its_version() -> None:
    settled = Settled()
    settled.note(live(generation=None), wanted(), live(generation=None))
    assert settled.is_settled(live(generation=None), wanted())
    assert not settled.is_settled(live(version="6", generation=None), wanted())


def test_what_is_remembered_has_an_end() -> None:
    settled = Settled()
    for number in range(MOST_REMEMBERED + 1):
        settled.note(live(uid=str(number)), wanted(), live(uid=str(number)))
    assert not settled.is_settled(live(uid="0"), wanted())
    assert settled.is_settled(live(uid="1"), wanted())
