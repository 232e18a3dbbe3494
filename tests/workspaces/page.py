"""
Write the tables of docs/rules.md from the very rows that the tests put to parser and API server.

`make generate` runs `python -m tests.workspaces.page docs/rules.md`; a test checks that it changes
nothing. A row
belongs to the rule that it breaks: the one at its field whose message holds its words.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workspace_operator.crd.definition import definition
from workspace_operator.crd.policies import POLICIES
from workspace_operator.crd.policy import Check
from workspace_operator.crd.rule import REQUIRED, Rule
from workspace_operator.crd.rules import RULES
from workspace_operator.crd.schema import at

from tests.workspaces.bad import BAD
from tests.workspaces.changes import CHANGES
from tests.workspaces.judged import JUDGED
from tests.workspaces.row import Judged

Manifest = dict[str, Any]

WIDTH = 110
_LIMITS = ("enum", "minimum", "minLength", "maxItems")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the page: what breaks a rule, what keeps it, and what is said."""

    field: str
    rule: str
    bad: str
    good: str
    message: str


def written(page: str) -> str:
    """Return the page with its tables as they follow from the rows."""
    tables = {
        "definition": _definition_lines(),
        "schema": _schema_lines(),
        "policies": _policy_lines(),
    }
    for name, lines in tables.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
        before, _, rest = page.partition(begin)
        page = before + begin + "\n".join(_table(lines)) + "\n" + end + rest.partition(end)[2]
    return page


def rule_of(path: str, says: str) -> Rule | None:
    """Find the CEL rule that refuses a field with these words; none where the schema does it."""
    found = [rule for rule in RULES if _target(rule) == _plain(path) and _says(rule, says)]
    return found[0] if found else None


def check_of(row: Judged) -> Check:
    """Find the rule of a policy that a row breaks."""
    at_field = [each for each in POLICIES[row.policy].checks if row.field in each.field]
    found = at_field if len(at_field) == 1 else [each for each in at_field if _speaks(each, row)]
    (check,) = found
    return check


def _speaks(check: Check, row: Judged) -> bool:
    """Say whether the fixed words of a row stand in the CEL that makes the message."""
    said = check.message.replace("\\'", "'").lower()
    return max(row.says.split('"'), key=len).strip(" .").lower() in said


def _definition_lines() -> Iterator[Line]:
    seen = set()
    for bad in BAD.values():
        rule = rule_of(bad.path, bad.says)
        if rule is not None and rule not in seen:
            seen.add(rule)
            yield _line(rule, bad.path, bad.manifest, bad.good)
    for change in CHANGES.values():
        rule = rule_of(change.path, change.says)
        if rule is not None and rule not in seen:
            seen.add(rule)
            yield Line(
                field=change.path,
                rule=rule.cel,
                bad=f"change to {_json(change.bad)}",
                good=f"change to {_json(change.good)}",
                message=rule.message,
            )


def _line(rule: Rule, path: str, bad: Manifest, good: Manifest) -> Line:
    return Line(
        field=path,
        rule=rule.cel,
        bad=fragment(bad, path),
        good=fragment(good, path),
        message=rule.message.replace("{}", "…"),
    )


def _schema_lines() -> Iterator[Line]:
    root = next(
        version["schema"]["openAPIV3Schema"]
        for version in definition()["spec"]["versions"]
        if version["storage"]
    )
    seen = set()
    for bad in BAD.values():
        if rule_of(bad.path, bad.says) is not None:
            continue
        limit = _limit(root, bad.path.replace("[0]", "[]"), bad.says)
        if (bad.path, limit) in seen:
            continue
        seen.add((bad.path, limit))
        yield Line(
            field=bad.path,
            rule=limit,
            bad=fragment(bad.manifest, bad.path),
            good=fragment(bad.good, bad.path),
            message=bad.says,
        )


def _limit(root: Manifest, path: str, says: str) -> str:
    if says == "required":
        return "required"
    schema = at(root, path)
    (limit,) = [each for each in _LIMITS if each in schema]
    return f"{limit}: {_json(schema[limit])}"


def _policy_lines() -> Iterator[Line]:
    for row in JUDGED.values():
        check = check_of(row)
        yield Line(
            field=row.field,
            rule=f"{row.policy}: {check.about}",
            bad=_difference(row.bad, row.field),
            good=_difference(row.good, row.field),
            message=row.says,
        )


def _difference(manifest: Manifest, field: str) -> str:
    """Show of a manifest what a policy's rule is about."""
    if not field.startswith("metadata.annotations"):
        return fragment(manifest, field)
    written = manifest["metadata"].get("annotations", {})
    return ", ".join(f'{key}: "{value}"' for key, value in written.items()) or "(left out)"


def fragment(manifest: Manifest, path: str) -> str:
    """Show the field of a manifest, or what stands where it would be."""
    value: Any = manifest
    steps = path.replace("[", ".[").split(".")
    for done, step in enumerate(steps):
        below = _below(value, step)
        if below is None:
            held = ".".join(steps[:done]).replace(".[", "[")
            return "(left out)" if done == 0 or not _shows(value) else f"{held}: {_json(value)}"
        value = below
    return _json(value)


def _below(value: Any, step: str) -> Any:  # noqa: ANN401 - whatever a manifest holds
    if step.startswith("["):
        return value[0] if value else None
    return value.get(step)


def _shows(value: object) -> bool:
    """Say whether a neighbour tells more than that the field is not there."""
    return isinstance(value, dict) and "labelSelector" not in value and "preset" not in value


def _target(rule: Rule) -> str:
    return (rule.path + rule.field).removeprefix(".").replace("[]", "")


def _says(rule: Rule, words: str) -> bool:
    if words == "required":
        return rule.reason == REQUIRED
    return words.lower() in rule.message.replace("{} ", "").replace(" {}", "").lower()


def _plain(path: str) -> str:
    return path.replace("[0]", "")


def _json(value: object) -> str:
    if value == "":
        return '""'
    text = json.dumps(value, ensure_ascii=False).replace('"', "")
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _table(lines: Iterator[Line]) -> Iterator[str]:
    yield "| field | bad | good | what is said | rule |"
    yield "|---|---|---|---|---|"
    for line in lines:
        field, bad, good, rule = (
            f"`{_cell(each)}`" for each in (line.field, line.bad, line.good, line.rule)
        )
        yield f"| {field} | {bad} | {good} | {_cell(line.message)} | {rule} |"


def _cell(text: str) -> str:
    """Write a text into a table, where a bar would end the cell."""
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("page", type=Path, help="the page whose tables are written anew")
    document = parser.parse_args().page
    document.write_text(written(document.read_text(encoding="utf-8")), encoding="utf-8")
