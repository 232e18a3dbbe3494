"""The values that a release writes, put to the real Helm."""

import re
from pathlib import Path

import pytest
import yaml
from workspace_operator.settings import Settings

from release.values import release_values
from tests.installation import RELEASE_VALUES, render_chart

REGISTRY = "registry.example.com/atelier"
DIGESTS = {
    "operator": f"sha256:{'a' * 64}",
    "mistral-7b-instruct": f"sha256:{'b' * 64}",
    "mistral-7b-instruct-tuning": f"sha256:{'c' * 64}",
}


@pytest.mark.usefixtures("helm")
def test_the_chart_asks_for_what_was_pushed_and_by_digest_only(tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(release_values(REGISTRY, DIGESTS))

    (deployment,) = (each for each in render_chart(files=[path]) if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each.get("value", "") for each in container["env"]}
    settings = Settings.from_environment(given)
    preset = "mistral-7b-instruct"

    assert deployment["spec"]["replicas"] == 2
    assert container["image"] == f"{REGISTRY}/operator@{DIGESTS['operator']}"
    for image, name in (
        (settings.image_for(preset), preset),
        (settings.tuning_image_for(preset), f"{preset}-tuning"),
    ):
        assert image.startswith(f"{REGISTRY}/{name}:")
        assert image.endswith(f"@{DIGESTS[name]}")


def test_they_are_those_of_the_charts_example_with_other_digests() -> None:
    zeros = re.sub("sha256:([abc])", "sha256:0", release_values(REGISTRY, DIGESTS))
    zeros = re.sub("0[abc]+", f"{'0' * 64}", zeros)
    assert yaml.safe_load(zeros) == yaml.safe_load(RELEASE_VALUES.read_text())


def test_without_a_trainer_nothing_is_said_of_one() -> None:
    values = yaml.safe_load(release_values(REGISTRY, dict(list(DIGESTS.items())[:2])))
    assert set(values) == {"replicaCount", "image", "presetImage", "presetDigests"}
