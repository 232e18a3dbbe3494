"""What the Dockerfiles promise in words, held against their text."""

import re
import subprocess
from pathlib import Path

import pytest
from model_presets.catalog import load_catalog

from tests.images.recipes import RECIPES, ROOT, VERSION

DOCKERFILES = ("Dockerfile.operator", "Dockerfile.mistral")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def tracked() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(  # noqa: S603 - fixed words
        command, cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [path for line in listing.stdout.splitlines() if (path := ROOT / line).is_file()]


def test_a_revision_stands_in_its_preset_and_nowhere_else() -> None:
    revisions = {preset.revision for preset in load_catalog() if preset.seed is None}
    short = re.compile("|".join(revision[:12] for revision in revisions))
    product = ("Dockerfile", "Makefile", "charts/", "operator/", "inference/", "requirements/")
    copies = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if str(path.relative_to(ROOT)).startswith(product)
        and short.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert revisions
    assert copies == []


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_version_is_the_projects(name: str) -> None:
    assert re.findall(r"^ARG VERSION=(\S+)$", text(name), re.MULTILINE) == [VERSION]


def test_both_images_stand_on_one_base() -> None:
    bases = {recipe.base_image for recipe in RECIPES.values()}
    assert len(bases) == 1
    assert not bases.pop().endswith(":latest")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_last_stage_runs_as_a_numbered_user_without_root(name: str) -> None:
    last = text(name).rsplit("\nFROM ", 1)[1]
    assert re.findall(r"^USER (.*)$", last, re.MULTILINE) == ["10001:10001"]
    assert last.rstrip().splitlines()[-1].startswith('ENTRYPOINT ["python", "-m", ')


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("Dockerfile.operator", {"operator", "presets"}),
        ("Dockerfile.mistral", {"inference", "presets"}),
    ],
)
def test_an_image_carries_its_own_half_only(name: str, folders: set[str]) -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", text(name), re.MULTILINE)
    sources = {word.split("/")[0] for line in copied for word in line.split()}
    assert sources - {"requirements", "${WEIGHTS}"} == folders


def test_the_layers_are_runtime_then_weights_then_code() -> None:
    last = text("Dockerfile.mistral").rsplit("\nFROM ", 1)[1]
    assert last.startswith("runtime\n")
    weights, code = last.index("COPY --from=weights"), last.index("COPY inference/")
    assert weights < code


@pytest.mark.parametrize("name", DOCKERFILES)
def test_every_package_comes_by_its_hash(name: str) -> None:
    installs = re.findall(r"(?:pip install|pip sync)[^&\n]*(?:\\\n[^&\n]*)*", text(name))
    assert len(installs) == 2
    assert all("--require-hashes" in install for install in installs)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_nothing_of_the_building_machine_is_written_down(name: str) -> None:
    assert not re.search(r"^ENV .*(SSL_CERT|PIP_|UV_|PROXY)", text(name), re.MULTILINE)
    assert not re.search(r"https?://", text(name))


def test_the_context_leaves_out_all_that_no_image_copies() -> None:
    lines = [line for line in text(".dockerignore").splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    inputs = {entry.split("/")[0] for recipe in RECIPES.values() for entry in recipe.inputs}
    assert allowed == inputs | {"weights"}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_hashes_all_that_its_dockerfile_copies(name: str) -> None:
    recipe = RECIPES[name]
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", text(recipe.dockerfile), re.MULTILINE)
    sources = {word for line in copied for word in line.split()} - {"${WEIGHTS}"}
    assert sources == set(recipe.inputs)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_every_argument_is_documented(name: str) -> None:
    manual = (ROOT / "docs" / "images.md").read_text(encoding="utf-8")
    arguments = set(re.findall(r"^ARG (\w+)", text(name), re.MULTILINE))
    assert {argument for argument in arguments if f"`{argument}`" not in manual} == set()
