"""docs/server-faults.md has all 27 rows, and every test that it names is there."""

import ast
from collections import Counter
from pathlib import Path

from tests.model_server.fault_table import DOCUMENT, ROW, named_tests, with_seen

ROOT = Path(__file__).parents[2]


def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


def test_every_row_is_there_with_tests_that_exist() -> None:
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    rows = [row for line in lines if (row := ROW.match(line))]
    assert [int(row["number"]) for row in rows] == list(range(1, 28))
    for line in lines:
        for test in named_tests(line):
            file, name = test.split("::")
            assert name in functions_of(ROOT / file), test


def test_what_was_seen_is_written_into_the_row() -> None:
    line = "| 1 | fault | answer | `a/test_x.py::test_one`, `a/test_x.py::test_two` | old |\n"
    outcomes = {"tests/a/test_x.py::test_one": Counter(passed=3, failed=1)}
    assert with_seen(f"head\n{line}", outcomes) == (
        "head\n| 1 | fault | answer | `a/test_x.py::test_one`, `a/test_x.py::test_two` "
        "| 3 passed, 1 not run, 1 failed |\n"
    )
