"""A model answers to each of its names in any letter case."""

import pytest
from model_server.api.model_names import BASE, ModelNames


def test_names_that_differ_in_case_only_are_one() -> None:
    names = ModelNames.of(["Mistral", "mistral", "alias", "MISTRAL", "org/Mistral"])
    assert names.names == ("Mistral", "alias", "org/Mistral")
    assert names.primary == "Mistral"


def test_a_name_is_known_in_any_case() -> None:
    names = ModelNames.of(["tiny", "org/Tiny"])
    assert names.adapter_of("TINY") == BASE
    assert names.adapter_of("ORG/tiny") == BASE
    assert names.adapter_of("tin") is None
    assert names.adapter_of("") is None


@pytest.mark.parametrize(
    ("name", "adapter"),
    [
        ("style", "style"),
        ("STYLE", "style"),
        ("tiny:style", "style"),
        ("Org/Tiny:Second", "second"),
        ("other:style", None),
        (":style", None),
        ("tiny:", None),
        ("tiny:third", None),
        ("tiny:tiny:style", None),
        ("style:tiny", None),
    ],
)
def test_an_adapter_is_asked_for_by_its_name_alone_or_behind_the_bases(
    name: str, adapter: str | None
) -> None:
    names = ModelNames.of(["tiny", "org/tiny"], ["style", "second"])
    assert names.adapter_of(name) == adapter
    assert names.all == ("tiny", "org/tiny", "style", "second")
    assert names.shown("style") == "style"
    assert names.shown(BASE) == "tiny"


def test_an_adapter_needs_a_name_of_its_own() -> None:
    with pytest.raises(ValueError, match="'Tiny' is a name of the base"):
        ModelNames.of(["tiny"], ["Tiny"])


def test_a_model_without_a_name_cannot_be_asked() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ModelNames.of([])
