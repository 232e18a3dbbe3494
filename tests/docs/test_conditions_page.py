"""The page about conditions is what the source says, and has a section for every reason."""

import re
from pathlib import Path

from workspace_operator.status.advice import ADVICE
from workspace_operator.status.reference import render, words

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "conditions.md"
SOURCE = ROOT / "operator" / "workspace_operator"
# Reasons of Karpenter that users meet most, which this operator passes on.
KARPENTERS = {"InsufficientCapacityError", "LaunchFailed"}


def of_plans() -> set[str]:
    """Find the reasons of plans that are refused, where they are raised."""
    raised = re.compile(r'PlanError\(\s*"(\w+)"')
    constant = re.compile(r'^REASON = "(\w+)"', re.MULTILINE)
    texts = [path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")]
    return {word for text in texts for find in (raised, constant) for word in find.findall(text)}


def test_the_page_about_conditions_is_up_to_date() -> None:
    """`make generate` writes it."""
    assert PAGE.read_text(encoding="utf-8") == render()


def test_every_reason_has_a_section_that_says_what_to_do() -> None:
    """Whoever adds a reason adds its entry to status/advice.py; one that went takes it along."""
    known = words() | of_plans() | KARPENTERS

    assert known - ADVICE.keys() == set()
    assert ADVICE.keys() - known == set()
    assert len(known) >= 25
    assert not re.search(r"\{\w+\}", render())
