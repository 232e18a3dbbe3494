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
    for name in ("a", "b", "a", "c"):
        words.hear(claim(name, "none left"))
    assert set(words.of(["a", "b", "c"])) == {"a", "c"}
