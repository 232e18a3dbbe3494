"""
Apply the examples as a user does.
"""

from pathlib import Path

import pytest
import yaml
from model_presets.catalog import load_catalog
from workspace_operator.api import parse
from workspace_operator.crd import definition

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
    assert workspace.inference is not None
    assert workspace.inference.preset is not None
    load_catalog().get(workspace.inference.preset.name)
