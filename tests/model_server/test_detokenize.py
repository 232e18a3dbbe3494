"""Text that comes in pieces joins to the whole, and no half character ever leaves."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from model_server.text.detokenize import MAX_PENDING_TOKENS, Detokenizer, StopStrings

# A byte-fallback vocabulary as Mistral's: ids below 256 are bytes, the others are words, most
# with a space before them; a decoder drops the space that opens the text.
WORDS = (" a", " the", " naïve", " 日本", " 👩‍🚀", "n't", " ", "  ", "\n")
CONTROL = 1000


def decode(token_ids: Sequence[int]) -> str:
    raw = b"".join(
        bytes([i]) if i < 256 else WORDS[i - 256].encode() for i in token_ids if i != CONTROL
    )
    return raw.decode(errors="replace").removeprefix(" ")


def tokens_of(text: str) -> list[int]:
    return list(text.encode())


words = st.integers(256, 255 + len(WORDS)).map(lambda i: [i])
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd").map(tokens_of)
any_text = st.lists(words | characters | st.just([CONTROL]), max_size=40).map(
    lambda parts: [i for part in parts for i in part]
)


@given(any_text)
def test_pieces_join_to_the_whole_and_none_ends_within_a_character(token_ids: list[int]) -> None:
    detokenizer = Detokenizer(decode)
    pieces = [detokenizer.push([i]) for i in token_ids]
    assert not any("\ufffd" in piece for piece in pieces)
    assert "".join(pieces) + detokenizer.finish() == decode(token_ids)


@given(any_text, st.lists(st.integers(1, 5), min_size=1))
def test_the_text_does_not_depend_on_how_tokens_are_grouped(
    token_ids: list[int], sizes: list[int]
) -> None:
    detokenizer = Detokenizer(decode)
    text, at = "", 0
    while at < len(token_ids):
        size = sizes[at % len(sizes)]
        text += detokenizer.push(token_ids[at : at + size])
        at += size
    assert text + detokenizer.finish() == decode(token_ids)


@given(st.lists(st.integers(0, 255), max_size=MAX_PENDING_TOKENS - 1))
def test_bytes_that_are_no_text_come_out_as_replacement_characters(token_ids: list[int]) -> None:
    detokenizer = Detokenizer(decode)
    text = detokenizer.push(token_ids) + detokenizer.finish()
    assert text == decode(token_ids)


def test_an_emoji_of_four_tokens_leaves_with_the_fourth() -> None:
    detokenizer = Detokenizer(decode)
    assert [detokenizer.push([byte]) for byte in "🚀".encode()] == ["", "", "", "🚀"]


def test_a_word_keeps_the_space_before_it() -> None:
    detokenizer = Detokenizer(decode)
    assert [detokenizer.push([256]), detokenizer.push([CONTROL]), detokenizer.push([257])] == [
        "a",
        "",
        " the",
    ]


def test_half_a_character_at_the_end_is_shown_as_one() -> None:
    detokenizer = Detokenizer(decode)
    assert detokenizer.push("é".encode()[:1]) == ""
    assert detokenizer.finish() == "\ufffd"
    assert detokenizer.finish() == ""


def test_endless_bytes_that_are_no_text_are_not_held_for_ever() -> None:
    detokenizer = Detokenizer(decode)
    text = detokenizer.push([0xFF] * (3 * MAX_PENDING_TOKENS))
    assert len(text) >= 2 * MAX_PENDING_TOKENS


def test_endless_control_tokens_do_not_lose_the_context() -> None:
    detokenizer = Detokenizer(decode)
    text = detokenizer.push([256, *[CONTROL] * (2 * MAX_PENDING_TOKENS), 257])
    assert text + detokenizer.finish() == "a the"


letters = st.text("abc", max_size=30)
stop_lists = st.lists(st.text("abc", min_size=1, max_size=4), max_size=4)


def cut(pieces: Sequence[str], stops: Sequence[str]) -> tuple[str, bool]:
    strings = StopStrings(stops)
    text = ""
    for piece in pieces:
        part, met = strings.push(piece)
        text += part
        if met:
            return text, True
    return text + strings.finish(), False


@given(letters, stop_lists)
def test_a_cut_is_where_the_first_stop_string_is_complete(text: str, stops: list[str]) -> None:
    got, met = cut(list(text), stops)
    ends = [(text.find(s) + len(s), text.find(s)) for s in stops if s in text]
    assert met == bool(ends)
    assert got == (text[: min(ends)[1]] if ends else text)


@given(letters, stop_lists, st.lists(st.integers(1, 7), min_size=1))
def test_a_cut_does_not_depend_on_the_pieces(text: str, stops: list[str], sizes: list[int]) -> None:
    pieces, at = [], 0
    while at < len(text):
        size = sizes[at % len(sizes)]
        pieces.append(text[at : at + size])
        at += size
    assert cut(pieces, stops) == cut(list(text), stops)


def test_what_may_begin_a_stop_string_is_held_and_given_back() -> None:
    strings = StopStrings(["###"])
    assert strings.push("one #") == ("one ", False)
    assert strings.push("#") == ("", False)
    assert strings.push(" two") == ("## two", False)
    assert strings.push("#") == ("", False)
    assert strings.finish() == "#"
