"""A model answers to each of its names in any letter case."""

import pytest
from model_server.model_names import ModelNames


def test_names_that_differ_in_case_only_are_one() -> None:
    names = ModelNames.of(["Mistral", "mistral", "alias", "MISTRAL", "org/Mistral"])
    assert names.names == ("Mistral", "alias", "org/Mistral")
    assert names.primary == "Mistral"


def test_a_name_is_known_in_any_case() -> None:
    names = ModelNames.of(["tiny", "org/Tiny"])
    assert names.knows("TINY")
    assert names.knows("ORG/tiny")
    assert not names.knows("tin")
    assert not names.knows("")


def test_a_model_without_a_name_cannot_be_asked() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ModelNames.of([])
