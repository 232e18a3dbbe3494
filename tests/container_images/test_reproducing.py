"""
Two builds of the same files, none of them with a layer of the other: one image.

Those with CUDA are left out: the same Dockerfile, at four times the time and the disk.
"""

import os
from pathlib import Path

import pytest

from tests.cluster.surroundings import cache_directory
from tests.images.builders import Buildah, find_builder
from tests.images.building import read_digest
from tests.images.recipes import RECIPES


@pytest.mark.large
@pytest.mark.timeout(2400)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root (buildah without an engine)")
@pytest.mark.parametrize("name", [name for name in RECIPES if "cuda" not in name])
def test_a_second_build_gives_the_same_digest(name: str, tmp_path: Path) -> None:
    builder = find_builder(cache_directory() / "images")
    if not isinstance(builder, Buildah):
        pytest.skip("an engine gives its layers the time of the build")
    digests = []
    for _ in range(2):
        builder.build(RECIPES[name], tmp_path / "build.log", afresh=True)
        builder.export(RECIPES[name], tmp_path / "image.tar")
        digests.append(read_digest(tmp_path / "image.tar"))
        (tmp_path / "image.tar").unlink()
    assert digests[0] == digests[1]
