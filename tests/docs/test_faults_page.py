"""The page about faults names tests and commands that exist, and every fault and goal is on it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text()


def functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {each.name for each in ast.walk(tree) if isinstance(each, kinds)}


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 50
    missing = [f"{path}::{name}" for path, name in named if name not in functions(path)]
    assert missing == []


def test_every_fault_and_every_goal_is_there_once() -> None:
    assert [int(each) for each in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)] == [
        *range(1, 41)
    ]
    goals = re.findall(r"^\| G(\d+)(?: to G(\d+))? ", PAGE, re.MULTILINE)
    covered = [goal for first, last in goals for goal in range(int(first), int(last or first) + 1)]
    of_the_server = range(18, 25)
    assert covered == [each for each in range(1, 31) if each not in of_the_server]


def test_every_command_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{name}:" in makefile for name in re.findall(r"`make ([\w-]+)`", PAGE))
