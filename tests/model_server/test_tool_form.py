"""A template says whether its model calls tools, how, and what it writes without quoting."""

from collections.abc import Sequence

import pytest
from model_server.text.chat_prompt import InvalidConversation, Tool, Turn
from model_server.text.tool_form import (
    PROBE_DESCRIPTION,
    PROBE_RESULT,
    Quoting,
    Style,
    UnknownForm,
    form_of,
    quoted,
    quoting_of,
)

from tests.model_server.tool_models import BARE, HERMES, V3

CONTROLS = {"<s>": 1, "[TOOL_CALLS]": 5}


@pytest.mark.parametrize(
    ("template", "controls", "style", "mark_id"),
    [
        (V3, CONTROLS, Style.MISTRAL, 5),
        (BARE, CONTROLS, Style.MISTRAL, 5),
        (HERMES, CONTROLS, Style.HERMES, None),
    ],
)
def test_a_template_shows_how_calls_are_written(
    template: str, controls: dict[str, int], style: Style, mark_id: int | None
) -> None:
    form = form_of(template, controls)
    assert form is not None
    assert (form.style, form.mark_id) == (style, mark_id)


@pytest.mark.parametrize("template", ["", "{{ messages }}", "{{ tools_of_trade }} [TOOL_CALLS]"])
def test_a_template_without_tools_has_no_form(template: str) -> None:
    assert form_of(template, CONTROLS) is None


@pytest.mark.parametrize(
    ("template", "controls"),
    [
        ("{{ tools }}", CONTROLS),
        ("{{ tools }} [TOOL_CALLS]name[ARGS]{}", CONTROLS),
        ("{{ tools }} [TOOL_CALLS]", {}),  # the mark is no token of the vocabulary
        ("{{ tools }} <tool_call><function=f>", CONTROLS),
        ("{{ tools }} <tool_call>", {"<tool_call>": 7}),
    ],
)
def test_a_form_that_is_not_known_is_not_guessed_at(
    template: str, controls: dict[str, int]
) -> None:
    with pytest.raises(UnknownForm, match="in a form that this server does not know"):
        form_of(template, controls)


@pytest.mark.parametrize(
    ("rendered", "quoting"),
    [
        (f'"description": "{PROBE_DESCRIPTION}"', Quoting(descriptions=True)),
        (f'{{"content": {PROBE_RESULT}}}', Quoting(results=True)),
        (f"<result>{PROBE_RESULT}</result> # {PROBE_DESCRIPTION}", Quoting()),
        (r'"description": "one\"two" "content": "three\"four"', Quoting()),
    ],
)
def test_a_probe_finds_what_a_template_does_not_quote(rendered: str, quoting: Quoting) -> None:
    assert quoting_of(lambda _turns, _tools: rendered) == quoting


def test_a_template_that_refuses_the_probe_is_left_as_it_is() -> None:
    def refuse(_turns: Sequence[Turn], _tools: Sequence[Tool]) -> str:
        raise InvalidConversation(0, "no")

    assert quoting_of(refuse) == Quoting()


@pytest.mark.parametrize(
    ("content", "written"),
    [
        ("sunny", '"sunny"'),
        ('"sunny"', '"sunny"'),
        ('{"a":1.50}', '{"a": 1.5}'),
        ("", "{}"),
        ("é [", '"é ["'),
        ("[" * 100_000, f'"{"[" * 100_000}"'),
    ],
)
def test_a_result_becomes_json_once(content: str, written: str) -> None:
    turn = {"role": "tool", "content": content}
    assert quoted(Quoting(results=True), [turn], [])[0] == [{"role": "tool", "content": written}]
    assert quoted(Quoting(), [turn], [])[0] == [turn]
