"""The page about conditions is what the source says."""

from pathlib import Path

from workspace_operator.status.reference import render

PAGE = Path(__file__).parents[2] / "docs" / "conditions.md"


def test_the_page_about_conditions_is_up_to_date() -> None:
    """`make generate` writes it."""
    assert PAGE.read_text(encoding="utf-8") == render()


def test_every_reason_has_a_sentence_with_its_facts_marked() -> None:
    rows = [
        line for line in render().splitlines() if line.startswith("| `") and line.count("|") > 4
    ]
    assert len(rows) >= 40
    assert not any("{" in row for row in rows)
