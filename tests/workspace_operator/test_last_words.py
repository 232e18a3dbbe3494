"""What a claim complained of is known after it is gone, and memory stays bounded."""

from typing import Any

import pytest
from workspace_operator import last_words
from workspace_operator.last_words import LastWords


def claim(name: str, message: str, status: str = "False") -> dict[str, Any]:
    condition = {"type": "Launched", "status": status, "reason": "NoStock", "message": message}
    return {"metadata": {"name": name}, "status": {"conditions": [condition]}}


def test_the_last_complaint_of_a_claim_is_kept() -> None:
    words = LastWords()
    words.hear(claim("a", "first"))
    words.hear(claim("a", "none left"))
    words.hear({"metadata": {"name": "a"}})
    heard = words.of(["a", "b"])
    assert {name: (each.reason, each.message) for name, each in heard.items()} == {
        "a": ("NoStock", "none left")
    }


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_words, "MOST_REMEMBERED", 2)
    words = LastWords()
    for name, message in (("a", "none"), ("b", "none"), ("a", "still none"), ("c", "none")):
        words.hear(claim(name, message))
    assert set(words.of(["a", "b", "c"])) == {"a", "c"}


def event(name: str, reason: str, message: str) -> dict[str, Any]:
    about = {"kind": "NodeClaim", "name": name}
    return {"involvedObject": about, "type": "Warning", "reason": reason, "message": message}


def said(words: LastWords, name: str) -> tuple[str, str]:
    heard = words.of([name])[name]
    return heard.reason, heard.message


def test_an_event_explains_what_no_condition_does_and_the_claims_end_does_not_hide_it() -> None:
    words = LastWords()
    waiting = claim("a", "object is awaiting reconciliation")
    waiting["status"]["conditions"][0]["reason"] = "AwaitingReconciliation"
    words.hear(waiting)
    named = words.hear_event(event("a", "InsufficientCapacityError", "NodeClaim a event: none"))
    words.hear(waiting)
    assert named == "a"
    assert said(words, "a") == ("InsufficientCapacityError", "none")
    words.hear(claim("a", "quota exceeded"))
    assert said(words, "a") == ("NoStock", "quota exceeded"), "news is news"


def test_events_about_the_end_of_a_machine_explain_nothing() -> None:
    words = LastWords()
    words.hear(claim("a", "none left"))
    words.hear_event(event("a", "FailedDraining", "pod x is left"))
    words.hear_event(event("a", "InsufficientCapacityError", ""))
    assert said(words, "a") == ("NoStock", "none left")
    assert words.hear_event({}) == ""
