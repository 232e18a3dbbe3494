"""
Write the table of values in the chart's README from the comments in values.yaml.

A value without a comment is an error, so the reference cannot fall behind. `make generate` runs
`python charts/reference.py charts/atelier`; a test checks that it changes nothing.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

BEGIN = "<!-- Written by `make generate` from values.yaml -->\n"
END = "<!-- End -->\n"
INDENT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value of the chart: its path, what it is without the user, and what it does."""

    path: tuple[str, ...]
    default: object
    meaning: str


def documented(text: str) -> Iterator[Value]:
    """
    Give each commented value of a values.yaml, in its order.

    Raises:
        ValueError: a value that is not a group of others has no comment.
    """
    values = yaml.safe_load(text)
    path: list[str] = []
    comment: list[str] = []
    covered: tuple[str, ...] | None = None
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            comment.append(stripped.removeprefix("#").strip())
            continue
        key, colon, _ = stripped.partition(":")
        if not colon or stripped.startswith("-"):
            continue
        path = [*path[: (len(line) - len(line.lstrip())) // INDENT], key]
        here = tuple(path)
        if covered is not None and here[: len(covered)] == covered:
            continue
        default = _at(values, here)
        if comment:
            yield Value(path=here, default=default, meaning=" ".join(comment))
            comment, covered = [], here
        elif not isinstance(default, dict):
            raise ValueError(f"values.yaml: {'.'.join(here)} has no comment above it")


def _at(values: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401 (values hold anything)
    for key in path:
        values = values[key]
    return values


def table(values: Iterator[Value]) -> str:
    """Give the values as a Markdown table."""
    rows = ["| value | default | meaning |", "|---|---|---|"]
    rows += [
        f"| `{'.'.join(each.path)}` | `{json.dumps(each.default)}` | {each.meaning} |"
        for each in values
    ]
    return "\n".join(rows) + "\n"


def render(readme: str, values: str) -> str:
    """Put a fresh table between the two marks of the README."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + table(documented(values)) + "\n" + END + after


def main(chart: Path) -> None:
    """Write the README of a chart anew."""
    readme = chart / "README.md"
    readme.write_text(render(readme.read_text(), (chart / "values.yaml").read_text()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("chart", type=Path, help="folder of the chart whose README is written")
    main(parser.parse_args().chart)
