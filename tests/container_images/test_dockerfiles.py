"""What the Dockerfiles promise in words, held against their text."""

import re
import subprocess
from pathlib import Path

import pytest
from model_presets.catalog import load_catalog

from tests.images.recipes import RECIPES, ROOT, VERSION
from tests.images.stages import Stage, made_of, stages_of

DOCKERFILES = ("Dockerfile.operator", "Dockerfile.mistral")
# What is built: a Dockerfile and a target in it.
BUILT = (("Dockerfile.operator", ""), ("Dockerfile.mistral", ""), ("Dockerfile.mistral", "tuning"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def last_stage(name: str, target: str) -> Stage:
    return made_of(text(name), target)[-1]


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


@pytest.mark.parametrize(("name", "target"), BUILT)
def test_the_version_is_the_projects(name: str, target: str) -> None:
    stated = re.findall(r"^ARG VERSION=(\S+)$", last_stage(name, target).text, re.MULTILINE)
    assert stated == [VERSION]


@pytest.mark.parametrize(("name", "target"), BUILT)
def test_every_image_says_what_it_is(name: str, target: str) -> None:
    labels = re.findall(r"org\.opencontainers\.image\.(\w+)=", last_stage(name, target).text)
    assert labels == ["title", "description", "licenses", "version", "revision"]


def test_all_images_stand_on_one_base() -> None:
    bases = {recipe.base_image for recipe in RECIPES.values()}
    assert len(bases) == 1
    assert not bases.pop().endswith(":latest")


@pytest.mark.parametrize(("name", "target"), BUILT)
def test_the_last_stage_runs_as_a_numbered_user_without_root(name: str, target: str) -> None:
    last = last_stage(name, target).text
    assert re.findall(r"^USER (.*)$", last, re.MULTILINE) == ["10001:10001"]
    assert last.rstrip().splitlines()[-1].startswith('ENTRYPOINT ["python", "-m", ')


@pytest.mark.parametrize(
    ("name", "target", "packages"),
    [
        ("Dockerfile.operator", "", {"operator/workspace_operator"}),
        ("Dockerfile.mistral", "", {"inference/model_server"}),
        ("Dockerfile.mistral", "tuning", {"inference/model_tuning"}),
    ],
)
def test_an_image_carries_its_own_part_only(name: str, target: str, packages: set[str]) -> None:
    copied = {word for stage in made_of(text(name), target) for word in stage.sources}
    ours = {word for word in copied if not word.startswith(("requirements/", "${WEIGHTS}"))}
    assert ours == packages | {"presets/model_presets"}


@pytest.mark.parametrize("target", ["", "tuning"])
def test_the_layers_are_runtime_then_weights_then_code(target: str) -> None:
    """The first two are one stage for both images, so that they are the same layers."""
    last = last_stage("Dockerfile.mistral", target)
    assert last.base == "model"
    (model,) = (stage for stage in stages_of(text("Dockerfile.mistral")) if stage.name == "model")
    assert model.base == "runtime"
    copies = re.findall(r"^COPY (.*)$", model.text, re.MULTILINE)
    assert copies == ["--from=weights /models/weights /models/weights"]
    assert "inference/" in "".join(last.sources)


def test_who_serves_does_not_build_the_trainer() -> None:
    served = [stage.name for stage in made_of(text("Dockerfile.mistral"), "")]
    assert served == ["runtime", "weights", "model", ""]


@pytest.mark.parametrize(
    ("name", "stages"), [("Dockerfile.operator", 1), ("Dockerfile.mistral", 2)]
)
def test_every_package_comes_by_its_hash(name: str, stages: int) -> None:
    installs = re.findall(r"(?:pip install|pip sync)[^&\n]*(?:\\\n[^&\n]*)*", text(name))
    assert len(installs) == 2 * stages
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
def test_a_recipe_hashes_all_that_its_stages_copy(name: str) -> None:
    recipe = RECIPES[name]
    stages = made_of(text(recipe.dockerfile), recipe.target)
    sources = {word for stage in stages for word in stage.sources} - {"${WEIGHTS}"}
    assert sources == set(recipe.inputs)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_every_argument_is_documented(name: str) -> None:
    manual = (ROOT / "docs" / "images.md").read_text(encoding="utf-8")
    arguments = set(re.findall(r"^ARG (\w+)", text(name), re.MULTILINE))
    assert {argument for argument in arguments if f"`{argument}`" not in manual} == set()
