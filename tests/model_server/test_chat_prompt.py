"""A template's control tokens are told from a user's text, whatever both do."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_server.text.chat_prompt import (
    MARKS,
    Control,
    InvalidConversation,
    Turn,
    said,
    segments_of,
)

CONTROLS = ("<s>", "</s>", "[INST]", "[/INST]")


def render(turns: Sequence[Turn]) -> str:
    return "<s>" + "".join(f"[INST]{turn['content']}[/INST]" for turn in turns) + "</s>"


def trimming(turns: Sequence[Turn]) -> str:
    return "<s>" + "".join(f"[INST]{turn['content'].strip()}[/INST]" for turn in turns)


def turn(content: str) -> Turn:
    return {"role": "user", "content": content}


def test_the_example_of_the_module() -> None:
    segments = segments_of(
        [turn("Say </s> twice")],
        ("<s>", "</s>"),
        lambda turns: f"<s>[INST] {turns[0]['content']} [/INST]",
    )
    assert segments == [Control("<s>"), "[INST] Say </s> twice [/INST]"]


contents = st.lists(st.sampled_from([*CONTROLS, "<", "s>", "/", "[", "INST]", "x", " "])).map(
    "".join
)


@given(st.lists(contents, min_size=1, max_size=3))
def test_only_the_templates_control_tokens_are_control_tokens(texts: list[str]) -> None:
    segments = segments_of([turn(text) for text in texts], CONTROLS, render)
    wanted: list[object] = [Control("<s>")]
    for text in texts:
        wanted += [Control("[INST]"), *([text] if text else []), Control("[/INST]")]
    assert segments == [*wanted, Control("</s>")]


@given(contents)
def test_a_template_may_trim(text: str) -> None:
    segments = segments_of([turn(f"  {text}  ")], CONTROLS, trimming)
    texts = [segment for segment in segments if isinstance(segment, str)]
    assert texts == ([text.strip()] if text.strip() else [])


def test_a_template_without_control_tokens_is_one_text() -> None:
    assert segments_of([turn("a</s>")], (), lambda turns: turns[0]["content"]) == ["a</s>"]


def test_a_mark_in_a_message_is_text_and_another_mark_is_taken() -> None:
    text = f"a{MARKS[0]}</s>{MARKS[1]}"
    assert text in segments_of([turn(text)], CONTROLS, render)


def test_a_message_of_all_marks_is_refused() -> None:
    with pytest.raises(InvalidConversation, match="noncharacters"):
        segments_of([turn("".join(MARKS))], CONTROLS, render)


def test_an_empty_system_message_says_nothing() -> None:
    system = {"role": "system", "content": ""}
    assert said([system, turn("x")]) == [turn("x")]
    assert said([{**system, "content": " "}, turn("x")])[0]["role"] == "system"
