"""Calls are read from any pieces of text as json.loads reads the whole."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_server.text.answer_text import AnswerText, CallReading, Reading
from model_server.text.call_reader import CallPiece, CallReader
from model_server.text.tool_form import Style, ToolForm

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab"\\{}[]é\n', max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text('k"{}\\'), inner),
    max_leaves=5,
)
arguments = st.dictionaries(st.text('a"{}\\', max_size=3), values, max_size=3)
names = st.text("azAZ09_-", min_size=1, max_size=8)


def ids() -> str:
    return "abcdefghi"


def joined(pieces: list[CallPiece]) -> list[tuple[str, str]]:
    calls: list[tuple[str, str]] = []
    for piece in pieces:
        if piece.name is not None:
            assert (piece.index, piece.call_id) == (len(calls), ids())
            calls.append((piece.name, ""))
        assert piece.index == len(calls) - 1
        calls[-1] = (calls[-1][0], calls[-1][1] + piece.arguments)
    return calls


@given(
    calls=st.lists(st.tuples(names, arguments), min_size=1, max_size=3),
    indent=st.sampled_from([None, 1]),
    hermes=st.booleans(),
    cuts=st.lists(st.integers(0, 200)),
)
def test_calls_come_out_as_they_were_written(
    calls: list[tuple[str, dict[str, Any]]],
    indent: int | None,
    hermes: bool,  # noqa: FBT001 - hypothesis passes by name
    cuts: list[int],
) -> None:
    made = [{"name": name, "arguments": held} for name, held in calls]
    texts = [json.dumps(call, indent=indent) for call in made]
    text = "\n<tool_call>\n".join(f"{one}\n</tool_call>" for one in texts)
    text = text if hermes else f" [{', '.join(texts)}]"
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    reader, pieces = CallReader(ids), list[CallPiece]()
    for start, end in pairwise(places):
        pieces += reader.push(text[start:end])
    assert reader.has_whole_calls
    assert [(name, json.loads(held)) for name, held in joined(pieces)] == calls


def test_a_call_that_is_cut_is_not_whole() -> None:
    for text in ("", ' [{"name": "f"', ' [{"name": "f", "arguments": ', ' [{"name": "f", "arg'):
        reader = CallReader(ids)
        assert reader.push(text) == []
        assert not reader.has_whole_calls
    reader = CallReader(ids)
    assert joined(reader.push('[{"name": "f", "arguments": {"a": "x\\')) == [("f", '{"a": "x')]
    assert not reader.has_whole_calls


MARK = 5


def decode(tokens: list[int]) -> str:
    return "".join(chr(token) for token in tokens if token >= 32)


def reading(mark_id: int | None, *stops: str) -> Reading:
    style = Style.MISTRAL if mark_id else Style.HERMES
    form = ToolForm(style=style, mark="<tool_call>", mark_id=mark_id)
    return Reading(
        decode=lambda tokens: decode(list(tokens)),
        token_bytes=lambda token: chr(token).encode(),
        stops=stops,
        calls=CallReading(form=form, new_id=ids),
    )


CALL = '{"name": "f", "arguments": {"a": "<tool_call>STOP"}}'


@pytest.mark.parametrize(
    ("mark_id", "tokens", "text", "calls"),
    [
        (MARK, [MARK, *map(ord, f"[{CALL}]")], "", 1),
        (MARK, [*map(ord, "Well ST"), MARK, *map(ord, f"[{CALL}]")], "Well ST", 1),
        (MARK, [*map(ord, "<tool_call>"), *map(ord, CALL)], "<tool_call>" + CALL[:-7], 0),
        (None, [*map(ord, f"Well <tool_call>{CALL}")], "Well ", 1),
        (None, [*map(ord, "a < b <tool_cal")], "a < b <tool_cal", 0),
        (None, [MARK, *map(ord, "x")], "x", 0),
        (MARK, [*map(ord, "xSTOP"), MARK, *map(ord, CALL)], "x", 0),
        (None, [*map(ord, f"xSTOP<tool_call>{CALL}")], "x", 0),
    ],
)
def test_text_and_calls_are_parted_at_the_mark(
    mark_id: int | None, tokens: list[int], text: str, calls: int
) -> None:
    answer = AnswerText(reading(mark_id, "STOP"))
    for token in tokens:
        answer.push(token)
        if answer.is_stopped:
            break
    if not answer.is_stopped:
        answer.finish()
    said, made = answer.take()
    assert said == text
    assert len(joined(list(made))) == calls
    assert answer.has_whole_calls is bool(calls)
    assert answer.take() == ("", ())
