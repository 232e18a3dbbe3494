"""
Run the tests that docs/server-faults.md names, row by row, and write what was seen into it.

    python -m tests.model_server.fault_table          (or: make server-fault-table)
"""

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "server-faults.md"
ROW = re.compile(r"^\| (?P<number>\d+) \|.*\| (?P<tests>`[^|]*`) \|(?P<seen>[^|]*)\|$")


def named_tests(line: str) -> list[str]:
    """Return the tests that a line of the table names, as pytest knows them."""
    row = ROW.match(line)
    return [f"tests/{name}" for name in re.findall(r"`([^`]+)`", row["tests"])] if row else []


def seen(tests: list[str], outcomes: dict[str, Counter[str]]) -> str:
    """Sum the outcomes of some tests up."""
    total: Counter[str] = sum((outcomes.get(test, Counter()) for test in tests), Counter())
    unseen = [test for test in tests if not outcomes.get(test)]
    total["not run"] += len(unseen)
    return ", ".join(f"{count} {what}" for what, count in sorted((+total).items(), reverse=True))


def with_seen(document: str, outcomes: dict[str, Counter[str]]) -> str:
    """Write what was seen into each row."""
    lines = []
    for line in document.splitlines():
        row, tests = ROW.match(line), named_tests(line)
        lines.append(f"{line[: row.start('seen')]} {seen(tests, outcomes)} |" if row else line)
    return "\n".join(lines) + "\n"


class Outcomes:
    """Collect what each test came to; parametrized ones are counted one by one."""

    def __init__(self) -> None:
        self.by_test: dict[str, Counter[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid.partition("[")[0]
        if report.when == "call" or report.outcome != "passed":
            self.by_test.setdefault(test, Counter())[report.outcome] += 1


def main() -> int:
    document = DOCUMENT.read_text(encoding="utf-8")
    tests = list(
        dict.fromkeys(test for line in document.splitlines() for test in named_tests(line))
    )
    outcomes = Outcomes()
    code = int(pytest.main(["-q", *tests], plugins=[outcomes]))
    written = with_seen(document, outcomes.by_test)
    DOCUMENT.write_text(written, encoding="utf-8")
    sys.stdout.write(written)
    return code


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    sys.exit(main())
