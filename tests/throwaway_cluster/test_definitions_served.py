"""Whoever applies a definition finds it served, also where kubectl gives up on one too new."""

import importlib
from pathlib import Path

import pytest

from tests.cluster import CommandError, ControlPlane

# It knows `apply`, and answers each `wait` with the next of the lines; the last one is the end.
KUBECTL = """#!/bin/sh
case "$*" in *" apply "*) echo customresourcedefinition.apiextensions.k8s.io/a; exit 0;; esac
echo asked >> {asked}
answer=$(sed -n "$(wc -l < {asked})p" {answers})
[ -z "$answer" ] && exit 0
echo "$answer" >&2
exit 1
"""
TOO_NEW = (
    "error: .status.conditions accessor error: <nil> is of the type <nil>, expected []interface{}"
)


def plane(folder: Path, monkeypatch: pytest.MonkeyPatch, *answers: str) -> ControlPlane:
    program, told, asked = folder / "kubectl", folder / "answers", folder / "asked"
    told.write_text("".join(f"{each}\n" for each in answers))
    program.write_text(KUBECTL.format(asked=asked, answers=told))
    program.chmod(0o755)
    module = importlib.import_module("tests.cluster.control_plane")
    monkeypatch.setattr(module, "binary", lambda _name: program)
    return ControlPlane(name="none", directory=folder, server="https://127.0.0.1:9")


def test_one_that_has_no_conditions_yet_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane(tmp_path, monkeypatch, TOO_NEW, TOO_NEW).apply({"kind": "CustomResourceDefinition"})
    assert (tmp_path / "asked").read_text().split() == ["asked"] * 3


def test_one_that_is_refused_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CommandError, match="timed out waiting"):
        plane(tmp_path, monkeypatch, "error: timed out waiting").apply({"kind": "a"})
    assert (tmp_path / "asked").read_text().split() == ["asked"]
