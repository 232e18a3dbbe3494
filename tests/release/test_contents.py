"""What a release refuses before anything is sent."""

from pathlib import Path

import pytest

from release.contents import ReleaseError, images_in, parsed_registry

PRESETS = ("mistral-7b-instruct", "tiny-mistral")


@pytest.mark.parametrize(
    "text",
    [
        "registry.example.com/atelier",
        "registry.example.com",
        "localhost/atelier",
        "127.0.0.1:5000",
        "registry:5000/team-a/model_s",
    ],
)
def test_a_registry_is_taken_as_it_is(text: str) -> None:
    assert parsed_registry(text) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no registry"),
        ("https://registry.example.com/atelier", "leave the scheme out"),
        ("oci://registry.example.com", "leave the scheme out"),
        ("registry.example.com/Atelier", "small letters"),
        ("registry.example.com/atelier/", "not a host and folders"),
        ("registry.example.com/atelier:1.0", "not a host and folders"),
        ("registry.example.com//atelier", "not a host and folders"),
        ("atelier/models", "Docker Hub"),
    ],
)
def test_a_registry_that_would_be_read_otherwise_is_refused(text: str, words: str) -> None:
    with pytest.raises(ReleaseError, match=words):
        parsed_registry(text)


def folder_of(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / f"{name}.tar").touch()
    return folder


def test_the_operator_comes_first_and_the_rest_by_name(tmp_path: Path) -> None:
    names = ("tiny-mistral-tuning", "tiny-mistral", "operator", "mistral-7b-instruct")
    found = images_in(folder_of(tmp_path, *names), PRESETS)
    assert [image.name for image in found] == [
        "operator",
        "mistral-7b-instruct",
        "tiny-mistral",
        "tiny-mistral-tuning",
    ]
    assert {image.path for image in found} == {tmp_path / f"{name}.tar" for name in names}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "no operator.tar"),
        (("tiny-mistral",), "no operator.tar"),
        (("operator",), "the image of no preset"),
        (("operator", "tiny-mistral-tuning"), "that serves the preset is not beside it"),
        (("operator", "tiny-mistral", "tiny-mistrall"), "presets are mistral-7b-instruct, tiny"),
    ],
)
def test_an_incomplete_folder_is_refused(
    tmp_path: Path, names: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ReleaseError, match=words):
        images_in(folder_of(tmp_path, *names), PRESETS)


def test_a_folder_that_is_not_there_is_named_with_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"absent is no folder.*tests\.images build"):
        images_in(tmp_path / "absent", PRESETS)
