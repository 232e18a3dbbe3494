"""
Apply the examples as a user does: each is taken whole, and planned without a word of doubt.
"""

from pathlib import Path

import pytest
import yaml
from workspace_operator.api import parse
from workspace_operator.crd import definition
from workspace_operator.decision import decide
from workspace_operator.plan import Plan

from tests.builders import BYO, CATALOG, SETTINGS
from tests.cluster import ControlPlane

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.apiserver
@pytest.mark.parametrize("arguments", [["--validate=strict"], ["--server-side"]], ids=" ".join)
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_applied_and_understood(
    control_plane: ControlPlane, namespace: str, path: Path, arguments: list[str]
) -> None:
    control_plane.apply(definition())

    control_plane.kubectl("apply", *arguments, "-n", namespace, "-f", str(path))

    name = yaml.safe_load(path.read_text())["metadata"]["name"]
    workspace = parse(control_plane.read("get", "workspace", name, "-n", namespace))
    settings = BYO if path.stem == "own-nodes" else SETTINGS
    decided = decide(workspace, None, CATALOG, settings)
    assert isinstance(decided, Plan), decided
    assert decided.notes == ()
