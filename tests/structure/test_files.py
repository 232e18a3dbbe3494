"""The house rules that no linter knows."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_LINES = 300


def tracked_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for line in listing.splitlines() if (path := ROOT / line).is_file()]


def test_no_python_file_is_longer_than_a_reader_holds_in_mind() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked_files()
        if path.suffix == ".py" and (lines := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert long == {}


def test_operator_folder_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_every_command_of_the_makefile_is_there_and_helps_itself() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)[0].split()
    helped = re.findall(r"^([a-z0-9-]+):.* ## \S", text, re.MULTILINE)
    assert sorted(phony) == sorted(helped)


def test_every_command_that_the_readme_names_is_there() -> None:
    text = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"\bmake ([a-z0-9-]+)\b", (ROOT / "README.md").read_text()))
    assert named - {"help"}
    assert all(re.search(rf"^{name}:", text, re.MULTILINE) for name in named), named


def without_code(page: str) -> str:
    return re.sub(r"`[^`\n]*`", "", page)


def test_every_file_that_a_page_links_to_is_there() -> None:
    pages = [path for path in tracked_files() if path.suffix == ".md"]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", without_code(page.read_text()))
        if not (page.parent / target).exists()
    ]
    assert broken == []
