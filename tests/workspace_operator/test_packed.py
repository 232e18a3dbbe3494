"""What waits to be written comes back as it was."""

from hypothesis import given
from hypothesis import strategies as st
from workspace_operator.packed import packed, unpacked

TEXTS = st.text(max_size=8)
VALUES = st.none() | st.booleans() | st.integers() | TEXTS | st.lists(TEXTS, max_size=3)


@given(st.dictionaries(TEXTS, VALUES | st.dictionaries(TEXTS, VALUES, max_size=3), max_size=4))
def test_an_object_comes_back_as_it_was(manifest: dict[str, object]) -> None:
    assert unpacked(packed(manifest)) == manifest


def test_what_repeats_itself_takes_little() -> None:
    conditions = [{"type": each, "message": "no node has joined yet"} for each in "abcdefgh"]
    assert len(packed({"conditions": conditions})) < 150
