"""The image of the proposal's model, built against a hub on the loopback that holds small files."""

import os
from pathlib import Path

import pytest
from model_presets.catalog import load_catalog
from model_presets.lock import read_lock, verify
from model_presets.tiny import make_tiny

from tests.cluster.surroundings import cache_directory
from tests.images.builders import Buildah, find_builder
from tests.images.recipes import RECIPES, Recipe
from tests.images.unpacked import unpacked
from tests.model_hub import Hub, serving

PRESET = load_catalog().get("mistral-7b-instruct")


@pytest.mark.e2e
@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root (chroot and mounts)")
def test_the_build_fetches_the_pinned_revision_and_locks_it(tmp_path: Path) -> None:
    builder = find_builder(cache_directory() / "images")
    if not isinstance(builder, Buildah):
        pytest.skip("an engine's build does not see this machine's loopback")
    make_tiny(tmp_path / "files", steps=0)
    files = {path.name: path.read_bytes() for path in (tmp_path / "files").iterdir()}
    tiny = RECIPES["tiny-mistral"]
    archive = tmp_path / "image.tar"
    with serving(Hub(repo=PRESET.repo, revision=PRESET.revision, files=files)) as hub:
        recipe = Recipe(
            name=PRESET.name,
            dockerfile=tiny.dockerfile,
            inputs=tiny.inputs,
            arguments={
                **tiny.arguments,
                "PRESET": PRESET.name,
                "HF_ENDPOINT": hub.endpoint,
            },
        )
        builder.build(recipe, tmp_path / "build.log")
        assert hub.asked
    builder.export(recipe, archive)

    with unpacked(archive) as image:
        archive.unlink()
        weights = image.root / "models" / "weights"
        verify(weights, read_lock(weights), PRESET)
        assert {name: (weights / name).read_bytes() for name in files} == files
        variables = image.config["config"]["Env"]
    assert f"ATELIER_PRESET={PRESET.name}" in variables
    assert not [word for word in variables if "HF_ENDPOINT" in word]
