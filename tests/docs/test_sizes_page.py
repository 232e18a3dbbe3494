"""The page of sizes says what can be worked out by hand, and of images what their page says."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "sizes.md").read_text()


def row(section: str, preset: str, second: str = "") -> list[str]:
    """Return the cells of one row, without its name."""
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith(f"| `{preset}` |")
    ]
    (found,) = [cells for cells in rows if not second or second in cells]
    return found[1:]


def test_the_weights_of_mistral_7b() -> None:
    """2 B x (32 layers x (41,943,040 + 176,160,768 + 8,192) + 2 x 32,000 x 4,096 + 4,096)."""
    parameters = 32 * (41_943_040 + 3 * 4096 * 14336 + 2 * 4096) + 2 * 32_000 * 4096 + 4096
    cells = row("What there is to carry", "mistral-7b-instruct")

    assert cells[:2] == [f"{parameters:,}", f"{2 * parameters:,}"]
    assert cells[2] == f"{2 * parameters / 2**30:.2f}"


@pytest.mark.parametrize(
    ("preset", "seconds"), [("mistral-7b", "116 s"), ("mixtral-8x7b", "12.5 min")]
)
def test_a_gigabit_a_second_carries_an_eighth_of_a_gigabyte(preset: str, seconds: str) -> None:
    assert row("How long that takes", preset)[0] == seconds


def test_a_window_bounds_what_a_request_keeps_and_without_one_it_grows() -> None:
    short, long = row("GPU memory to serve", "mistral-7b-instruct-v0.2")[1:3]
    assert short == "15.0 GiB, 0.5 of it keys and values"
    assert long == "18.5 GiB, 4.0 of it keys and values"
    assert row("GPU memory to serve", "mistral-7b-instruct")[2] == "-", "trained for 8,192"


def test_the_smallest_tuning_is_the_one_that_the_tuning_page_adds_up() -> None:
    """13.5 GiB of weights, 0.05 for adapters, 7.3 of activations and 1 for the runtime."""
    assert row("GPU memory to tune", "mistral-7b", "lora")[2] == "21.8 GiB"


def test_the_image_is_as_large_as_its_page_says() -> None:
    images = (DOCS / "images.md").read_text()
    (stated,) = re.findall(
        r"^\| `cuda` \| [^|]*\| ([0-9.]+) GB and the weights", images, re.MULTILINE
    )
    assert f"([images.md](images.md), {stated} GB)" in PAGE
