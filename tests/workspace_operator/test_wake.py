"""Which Workspaces an object concerns, and which changes of a node are worth a look."""

from typing import Any

import pytest
from workspace_operator.echoes import Echoes
from workspace_operator.wake import Key, Newborns, Wake, key_of, owner_of, owner_uid

MISTRAL = Key("team", "mistral")
OURS = {"kaito.sh/workspace": "mistral", "kaito.sh/workspacenamespace": "team"}


def workspace(name: str = "mistral", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "team", "name": name},
        "resource": {"labelSelector": {"matchLabels": labels}},
    }


def node(name: str = "n1", *, ready: str = "True", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def test_a_workspace_names_itself() -> None:
    assert key_of(workspace()) == MISTRAL
    assert str(MISTRAL) == "team/mistral"


def test_a_child_names_its_workspace_by_label() -> None:
    in_namespace = {"metadata": {"namespace": "team", "labels": {"kaito.sh/workspace": "mistral"}}}
    assert owner_of(in_namespace) == MISTRAL
    assert owner_of({"metadata": {"labels": OURS}}) == MISTRAL
    assert owner_of({"metadata": {"namespace": "team", "labels": {"app": "x"}}}) is None
    assert owner_of({"metadata": {}}) is None
    assert owner_of({}) is None


def test_a_claim_of_another_maker_has_no_owner_of_ours() -> None:
    ours = {"metadata": {"annotations": {"atelier.kaito.sh/workspace-uid": "u1"}}}
    assert owner_uid(ours) == "u1"
    assert owner_uid({"metadata": {"labels": OURS}}) is None


def test_a_child_without_workspace_wakes_nobody() -> None:
    woken: list[Key] = []
    Wake(woken.append).child_changed({"metadata": {"name": "x"}}, deleted=False)
    assert woken == []


def test_a_node_wakes_the_workspace_that_it_was_made_for() -> None:
    woken: list[Key] = []
    Wake(woken.append).node_changed(node(**OURS), deleted=False)
    assert woken == [MISTRAL]


def test_a_brought_node_wakes_the_workspaces_whose_labels_it_carries() -> None:
    woken: list[Key] = []
    wake = Wake(woken.append)
    wake.workspace_changed(workspace(apps="mistral"), deleted=False)
    wake.workspace_changed(workspace("other", apps="other"), deleted=False)
    woken.clear()
    wake.node_changed(node(apps="mistral", zone="a"), deleted=False)
    assert woken == [MISTRAL]


def test_a_heartbeat_wakes_nobody_and_a_change_does() -> None:
    woken: list[Key] = []
    wake = Wake(woken.append)
    wake.node_changed(node(**OURS), deleted=False)
    woken.clear()
    beat = node(**OURS)
    beat["status"]["conditions"][0]["lastHeartbeatTime"] = "2026-01-01T00:00:00Z"
    wake.node_changed(beat, deleted=False)
    assert woken == []
    wake.node_changed(node(ready="Unknown", **OURS), deleted=False)
    assert woken == [MISTRAL]


def test_a_node_that_goes_or_loses_its_label_wakes_whom_it_served() -> None:
    woken: list[Key] = []
    wake = Wake(woken.append)
    wake.workspace_changed(workspace(apps="mistral"), deleted=False)
    wake.node_changed(node(apps="mistral"), deleted=False)
    woken.clear()
    wake.node_changed(node(), deleted=False)
    assert woken == [MISTRAL]
    wake.node_changed(node(apps="mistral"), deleted=False)
    woken.clear()
    wake.node_changed(node(apps="mistral"), deleted=True)
    assert woken == [MISTRAL]


def test_a_deleted_workspace_is_looked_at_once_more_and_forgotten() -> None:
    woken: list[Key] = []
    wake = Wake(woken.append)
    wake.workspace_changed(workspace(apps="mistral"), deleted=False)
    wake.workspace_changed(workspace(apps="mistral"), deleted=True)
    assert woken == [MISTRAL, MISTRAL]
    wake.node_changed(node(apps="mistral"), deleted=False)
    assert woken == [MISTRAL, MISTRAL]


def test_our_own_write_wakes_nobody_and_the_next_one_does() -> None:
    woken: list[Key] = []
    wake = Wake(woken.append)
    ours = workspace(apps="mistral")
    ours["metadata"] |= {"uid": "u1", "resourceVersion": "7"}
    wake.echoes.wrote(ours)
    wake.workspace_changed(ours, deleted=False)
    assert woken == []
    theirs = workspace(apps="mistral")
    theirs["metadata"] |= {"uid": "u1", "resourceVersion": "8"}
    wake.workspace_changed(theirs, deleted=False)
    assert woken == [MISTRAL]
    wake.workspace_changed(ours, deleted=True)
    assert woken == [MISTRAL, MISTRAL], "a deletion is always news"


def test_a_child_as_we_left_it_wakes_nobody_but_its_deletion_does() -> None:
    woken: list[Key] = []
    wake = Wake(woken.append)
    metadata = {"labels": OURS, "uid": "u2", "resourceVersion": "9"}
    child: dict[str, Any] = {"metadata": metadata}
    wake.echoes.wrote(child)
    wake.child_changed(child, deleted=False)
    assert woken == []
    wake.child_changed(child, deleted=True)
    assert woken == [MISTRAL]


def test_an_object_without_a_version_is_never_an_echo() -> None:
    echoes = Echoes()
    echoes.wrote({"metadata": {"uid": "u1"}})
    echoes.wrote({})
    assert not echoes.is_ours({"metadata": {"uid": "u1"}})
    assert not echoes.is_ours({})


def test_only_so_many_echoes_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workspace_operator.echoes.MOST_REMEMBERED", 1)
    echoes = Echoes()
    first, second = ({"metadata": {"uid": uid, "resourceVersion": "1"}} for uid in ("a", "b"))
    echoes.wrote(first)
    echoes.wrote(second)
    assert not echoes.is_ours(first)
    assert echoes.is_ours(second)


def spoken_of(claim: str) -> dict[str, Any]:
    return {
        "involvedObject": {"kind": "NodeClaim", "name": claim},
        "reason": "InsufficientCapacityError",
        "message": "none left",
    }


def test_an_event_about_a_claim_wakes_its_workspace_also_when_the_claim_is_gone() -> None:
    woken: list[Key] = []
    wake = Wake(woken.append)
    claim: dict[str, Any] = {"metadata": {"name": "ws1", "labels": OURS}}
    wake.claim_changed(claim, deleted=False)
    wake.claim_changed(claim, deleted=True)
    woken.clear()
    wake.claim_spoken_of(spoken_of("ws1"))
    wake.claim_spoken_of(spoken_of("of-somebody-else"))
    assert woken == [MISTRAL]


def test_a_claim_that_only_a_status_remembers_is_known_by_its_name() -> None:
    """After a restart the claim is gone, and what was said about it is read again."""
    woken: list[Key] = []
    wake = Wake(woken.append)
    remembers = workspace(apps="mistral")
    remembers["status"] = {"nodeAttempts": [{"ordinal": 0, "attempt": 1, "lastClaim": "ws1"}]}
    wake.workspace_changed(remembers, deleted=False)
    woken.clear()
    wake.claim_spoken_of(spoken_of("ws1"))
    assert woken == [MISTRAL]


def test_only_so_many_claims_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workspace_operator.wake.MOST_REMEMBERED", 1)
    woken: list[Key] = []
    wake = Wake(woken.append)
    for name in ("ws1", "ws2"):
        claim: dict[str, Any] = {"metadata": {"name": name, "labels": OURS}}
        wake.claim_changed(claim, deleted=True)
    woken.clear()
    wake.claim_spoken_of(spoken_of("ws1"))
    assert woken == []


class TestNewborns:
    @staticmethod
    def workspace(**extra: object) -> dict[str, object]:
        return {"metadata": {"name": "mistral", "namespace": "team", **extra}}

    def test_one_that_nobody_has_taken_in_hand_is_given_once(self) -> None:
        newborns = Newborns()
        newborns.see(MISTRAL, self.workspace(), deleted=False)
        assert newborns.take(MISTRAL) == self.workspace()
        assert newborns.take(MISTRAL) is None

    @pytest.mark.parametrize(
        "later",
        [{"finalizers": ["a"]}, {"deletionTimestamp": "2026-11-21T08:30:00Z"}],
        ids=["held", "leaving"],
    )
    def test_one_that_has_begun_or_leaves_is_none(self, later: dict[str, object]) -> None:
        newborns = Newborns()
        newborns.see(MISTRAL, self.workspace(), deleted=False)
        newborns.see(MISTRAL, self.workspace(**later), deleted=False)
        assert newborns.take(MISTRAL) is None

    def test_one_that_has_a_status_or_is_gone_is_none(self) -> None:
        newborns = Newborns()
        newborns.see(MISTRAL, self.workspace() | {"status": {"phase": "Ready"}}, deleted=False)
        assert newborns.take(MISTRAL) is None
        newborns.see(MISTRAL, self.workspace(), deleted=False)
        newborns.see(MISTRAL, self.workspace(), deleted=True)
        assert newborns.take(MISTRAL) is None


def test_whoever_changes_the_spec_is_heard_even_if_the_key_is_held() -> None:
    woken: list[Key] = []
    insisted: list[Key] = []
    wake = Wake(woken.append, insist=insisted.append)
    for generation in (1, 1, 2):
        changed = workspace(apps="mistral")
        changed["metadata"]["generation"] = generation
        wake.workspace_changed(changed, deleted=False)
    assert (woken, insisted) == ([MISTRAL, MISTRAL], [MISTRAL])


def test_an_echo_that_is_faster_than_the_answer_wakes_nobody() -> None:
    woken: list[Key] = []
    wake = Wake(woken.append)
    ours: dict[str, Any] = {
        "kind": "Service",
        "metadata": {"name": "mistral", "namespace": "team"},
    }

    def seen(version: str) -> dict[str, Any]:
        metadata = {**ours["metadata"], "labels": OURS, "uid": "u1", "resourceVersion": version}
        return {"kind": "Service", "metadata": metadata}

    heard, theirs = seen("7"), seen("8")
    with wake.echoes.writing(ours):
        wake.child_changed(heard, deleted=False)
        wake.echoes.wrote(heard)
    assert woken == []
    with wake.echoes.writing(ours):
        wake.child_changed(theirs, deleted=False)
        assert woken == [], "nobody knows yet whose it is"
    assert woken == [MISTRAL], "the write failed, so it is somebody else's"


def test_of_many_workspaces_only_those_are_woken_whose_labels_a_node_has() -> None:
    woken: list[Key] = []
    wake = Wake(woken.append)
    for name in ("mistral", "other"):
        wake.workspace_changed(workspace(name, apps=name, zone="a"), deleted=False)
    wake.workspace_changed(workspace("anything"), deleted=False)
    woken.clear()
    wake.node_changed(node(apps="mistral", zone="a", more="b"), deleted=False)
    wake.node_changed(node("n2", apps="mistral", zone="b"), deleted=False)
    assert woken == [MISTRAL]
    wake.workspace_changed(workspace(apps="mistral", zone="a"), deleted=True)
    woken.clear()
    wake.node_changed(node("n3", apps="mistral", zone="a"), deleted=False)
    assert woken == []


def test_a_claim_is_known_by_name_from_its_first_event_to_its_last() -> None:
    wake = Wake(lambda _key: None)
    for name in ("a", "b"):
        wake.claim_changed({"metadata": {"name": name, "labels": OURS}}, deleted=False)
    wake.claim_changed({"metadata": {"name": "c"}}, deleted=False)
    assert wake.claim_names.of(MISTRAL) == ("a", "b")
    wake.claim_changed({"metadata": {"name": "a", "labels": OURS}}, deleted=True)
    assert wake.claim_names.of(MISTRAL) == ("b",)
