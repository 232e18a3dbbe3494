"""Adapters of the command line are named once, have a folder and a sensible strength."""

from pathlib import Path

import pytest
from model_server.adapter_choice import MOST_ADAPTERS, AdapterChoice, BadChoice, choices_of
from model_server.command_line import parse
from model_server.settings import BadStart


def test_a_name_and_a_folder_and_perhaps_a_strength() -> None:
    assert choices_of(["style=/a", "b.2=/x=y"], ["b.2=0.25"]) == (
        AdapterChoice(name="style", directory=Path("/a"), strength=1.0),
        AdapterChoice(name="b.2", directory=Path("/x=y"), strength=0.25),
    )


@pytest.mark.parametrize(
    ("folders", "strengths", "says"),
    [
        (["style"], [], "write NAME=DIR"),
        (["=/a"], [], "write NAME=DIR"),
        (["style="], [], "write NAME=DIR"),
        (["a:b=/a"], [], "'a:b' is no name"),
        (["-a=/a"], [], "'-a' is no name"),
        (["a=/a", "A=/b"], [], "'A' is given twice"),
        ([f"a{n}=/a" for n in range(MOST_ADAPTERS + 1)], [], "11 are given, at most 10"),
        (["a=/a"], ["b=1"], r"an adapter of --adapter \(a\)"),
        ([], ["b=1"], r"\(none\)"),
        (["a=/a"], ["a=1", "a=0.5"], "give it once"),
        (["a=/a"], ["a=1.5"], "from 0 to 1"),
        (["a=/a"], ["a=nan"], "from 0 to 1"),
        (["a=/a"], ["a=half"], "from 0 to 1"),
        (["a=/a"], ["a"], "write NAME=0.5"),
    ],
)
def test_what_names_no_adapter_is_refused(
    folders: list[str], strengths: list[str], says: str
) -> None:
    with pytest.raises(BadChoice, match=says):
        choices_of(folders, strengths)


def test_the_flags_reach_the_settings() -> None:
    flags = ["--model=/m", "--adapter=a=/a", "--adapter", "b=/b", "--adapter-strength=b=0.5"]
    settings = parse(flags, {})
    assert [(a.name, a.strength) for a in settings.adapters] == [("a", 1.0), ("b", 0.5)]
    assert not settings.merge_adapters
    assert parse([*flags, "--merge-adapters"], {}).merge_adapters
    with pytest.raises(BadStart, match="--merge-adapters has no use without --adapter"):
        parse(["--model=/m", "--merge-adapters"], {})
    with pytest.raises(BadStart, match="write NAME=DIR"):
        parse(["--model=/m", "--adapter=a"], {})
