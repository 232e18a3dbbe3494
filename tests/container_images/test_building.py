"""Building once: what is unchanged comes from the cache, what changed is built anew."""

import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from workspace_operator.settings import Settings

from tests.images import building, recipes
from tests.images.builders import target_of
from tests.images.building import build_images, read_digest
from tests.images.commands import BuildFailedError, output_of, run_logged, step_of
from tests.images.recipes import RECIPES, VERSION, Recipe


def write_archive(path: Path, digests: Iterable[str]) -> None:
    manifest = json.dumps([{"Config": f"{digest}.json"} for digest in digests]).encode()
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(manifest)
        tar.addfile(info, io.BytesIO(manifest))


class FakeBuilder:
    """A builder that takes no time; `failing` makes it one that fails."""

    identity = "fake"

    def __init__(self) -> None:
        self.built: list[str] = []
        self.failing = False

    def build(self, recipe: Recipe, log: Path) -> None:
        if self.failing:
            raise BuildFailedError(f"{recipe.name} failed ({log})")
        self.built.append(recipe.name)

    def export(self, recipe: Recipe, archive: Path) -> None:
        write_archive(archive, [f"{recipe.name}{len(self.built)}"])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a small repository with one recipe, `small`."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "code.py").write_text("one")
    (tmp_path / "Dockerfile").write_text("ARG BASE_IMAGE=base:1\nFROM ${BASE_IMAGE}\n")
    (tmp_path / ".dockerignore").write_text("*")
    small = Recipe(name="small", dockerfile="Dockerfile", inputs=("folder",))
    monkeypatch.setattr(recipes, "ROOT", tmp_path)
    monkeypatch.setitem(RECIPES, "small", small)
    return tmp_path


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> FakeBuilder:
    fake = FakeBuilder()
    monkeypatch.setattr(building, "find_builder", lambda _folder: fake)
    return fake


def test_an_unchanged_image_is_built_once(root: Path, builder: FakeBuilder, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = build_images(["small"], cache)["small"]
    second = build_images(["small"], cache)["small"]
    assert first == second
    assert builder.built == ["small"]
    assert first.reference == f"docker.io/atelier/small:{VERSION}"
    assert first.digest == "sha256:small1"
    assert first.bytes == first.archive.stat().st_size
    assert root.exists()


def test_a_changed_input_is_built_anew_and_leaves_one_archive(
    root: Path, builder: FakeBuilder, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    build_images(["small"], cache)
    (root / "folder" / "code.py").write_text("two")
    image = build_images(["small"], cache)["small"]
    assert builder.built == ["small", "small"]
    assert list(cache.glob("*.tar")) == [image.archive]


def test_a_file_edited_during_the_build_is_built_again(
    root: Path, builder: FakeBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = builder.export

    def edit_and_export(recipe: Recipe, archive: Path) -> None:
        (root / "folder" / "code.py").write_text("two")
        export(recipe, archive)

    monkeypatch.setattr(builder, "export", edit_and_export)
    image = build_images(["small"], tmp_path / "cache")["small"]
    assert builder.built == ["small", "small"]
    assert image.archive.name == f"small-{RECIPES['small'].fingerprint('fake')}.tar"


def test_a_failed_build_keeps_the_former_archive(
    root: Path, builder: FakeBuilder, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    former = build_images(["small"], cache)["small"]
    (root / "folder" / "code.py").write_text("two")
    builder.failing = True
    with pytest.raises(BuildFailedError, match="small failed"):
        build_images(["small"], cache)
    assert former.archive.exists()


def test_an_unknown_image_is_refused_with_those_there_are(builder: FakeBuilder) -> None:
    with pytest.raises(KeyError, match="operator, tiny-mistral"):
        build_images(["mystery"])
    assert builder.built == []


def test_the_fingerprint_follows_content_name_mode_arguments_stage_and_builder(root: Path) -> None:
    recipe = RECIPES["small"]
    code = root / "folder" / "code.py"
    seen = [recipe.fingerprint("a"), recipe.fingerprint("b")]
    seen.append(replace(recipe, arguments={"PRESET": "tiny"}).fingerprint("a"))
    seen.append(replace(recipe, target="stage").fingerprint("a"))
    code.chmod(0o755)
    seen.append(recipe.fingerprint("a"))
    code.write_text("two")
    seen.append(recipe.fingerprint("a"))
    code.rename(code.with_name("other.py"))
    seen.append(recipe.fingerprint("a"))
    (root / "Dockerfile").write_text("ARG BASE_IMAGE=base:2\n")
    seen.append(recipe.fingerprint("a"))
    assert len(set(seen)) == len(seen)


def test_the_fingerprint_does_not_follow_the_rest(root: Path) -> None:
    recipe = RECIPES["small"]
    before = recipe.fingerprint("a")
    (root / "README.md").write_text("words")
    (root / "folder" / "code.pyc").write_bytes(b"\0")
    assert recipe.fingerprint("a") == before


def test_the_default_base_is_the_dockerfiles(root: Path) -> None:
    assert RECIPES["small"].base_image == "base:1"
    (root / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(ValueError, match="no `ARG BASE_IMAGE"):
        _ = RECIPES["small"].base_image


def test_the_operator_asks_for_the_names_that_are_built() -> None:
    served = Settings().image_for("tiny-mistral")
    assert RECIPES["tiny-mistral"].reference == f"docker.io/{served}"
    tuned = Settings().tuning_image_for("tiny-mistral")
    assert RECIPES["tiny-mistral-tuning"].reference == f"docker.io/{tuned}"


def test_a_builder_is_told_the_stage() -> None:
    assert target_of(RECIPES["tiny-mistral-tuning"]) == ["--target", "tuning"]
    assert target_of(RECIPES["tiny-mistral"]) == []


@pytest.mark.parametrize("count", [0, 2])
def test_an_archive_of_anything_but_one_image_is_refused(tmp_path: Path, count: int) -> None:
    archive = tmp_path / "image.tar"
    write_archive(archive, ["a"] * count)
    with pytest.raises(BuildFailedError, match=f"{count} images, expected 1"):
        read_digest(archive)


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("[2/3] STEP 7/9: COPY a b\n", "7/9 COPY a b"),
        ("STEP 1/2: FROM scratch\n", "1/2 FROM scratch"),
        ("STEP 2/9: ARG VERSION=1\n", None),
        ("#7 [runtime 3/9] RUN  make   it\n", "3/9 RUN make it"),
        ("#7 [3/9] RUN make\n", "3/9 RUN make"),
        ("Step 3/9 : RUN make\n", "3/9 RUN make"),
        ("Downloading torch\n", None),
        (f"STEP 1/1: RUN {'x' * 200}\n", f"1/1 RUN {'x' * 66}..."),
    ],
)
def test_the_steps_of_both_builders_are_told(line: str, step: str | None) -> None:
    assert step_of(line) == step


def test_a_long_command_is_logged_and_its_steps_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_logged(["sh", "-c", "echo STEP 1/1: RUN x; echo more"], tmp_path / "log", "small")
    assert (tmp_path / "log").read_text() == "STEP 1/1: RUN x\nmore\n"
    told = capsys.readouterr().err
    assert "images: small: " in told
    assert "1/1 RUN x" in told
    assert "more" not in told


def test_a_failing_command_ends_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(BuildFailedError, match=r"small failed .*\nlast words"):
        run_logged(["sh", "-c", "echo last words; exit 3"], tmp_path / "log", "small")
    with pytest.raises(BuildFailedError, match="last words"):
        output_of(["sh", "-c", "echo last words >&2; exit 3"])
