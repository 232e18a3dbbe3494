"""The page about rules is what the table says, and the table reaches every rule."""

from pathlib import Path

from workspace_operator.crd.policies import POLICIES
from workspace_operator.crd.rules import RULES

from tests.workspaces import BAD, CHANGES, JUDGED
from tests.workspaces.page import check_of, rule_of, written

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"


def test_the_page_about_rules_is_up_to_date() -> None:
    """`make generate` writes it."""
    page = PAGE.read_text(encoding="utf-8")

    assert written(page) == page


def test_every_rule_of_the_definition_is_broken_by_a_row() -> None:
    """A rule that no example breaks might refuse nothing, or everything."""
    broken = {rule_of(row.path, row.says) for row in BAD.values()}
    broken |= {rule_of(row.path, row.says) for row in CHANGES.values()}

    assert [rule for rule in RULES if rule not in broken] == []


def test_every_rule_of_the_policies_is_broken_by_a_row() -> None:
    broken = [check_of(row) for row in JUDGED.values()]

    for name, policy in POLICIES.items():
        assert [check.field for check in policy.checks if check not in broken] == [], name
