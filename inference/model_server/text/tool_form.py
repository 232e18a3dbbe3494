r"""
Tell from a chat template whether its model calls tools, and how it writes a call.

Two ways are known. Others are not guessed at: their templates take tools, and a request with tools
is refused with that.

    MISTRAL   [TOOL_CALLS] [{"name": "f", "arguments": {...}}, ...]     the mark is a control token
    HERMES    <tool_call>\n{"name": "f", "arguments": {...}}\n</tool_call>    the mark is text

Some templates put a tool's description or result between quotes, or into JSON, as it stands: a
quote in it then breaks the JSON that the model was trained on. A probe finds that out, and such
texts are handed to such templates as JSON.

Pure, given a function that renders. Must not import torch, transformers, asyncio or time.
"""

import enum
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from model_server.text.chat_prompt import InvalidConversation, Tool, Turn

TAKES_TOOLS = re.compile(r"\btools\b")
MISTRAL_MARK = "[TOOL_CALLS]"
HERMES_MARK = "<tool_call>"
# What follows the same marks in forms that are not JSON: Mistral's version 11 and later, Qwen's
# coders, GLM.
OTHER_FORMS = ("[ARGS]", "[CALL_ID]", "<function=", "<arg_key>")
MISTRAL_ID = re.compile("[a-zA-Z0-9]{9}")
PROBE_ID = "abcdefghi"
PROBE_DESCRIPTION, PROBE_RESULT = 'one"two', 'three"four'

Render = Callable[[Sequence[Turn], Sequence[Tool]], str]


class Style(enum.Enum):
    """Name a way to write calls."""

    MISTRAL = "mistral"
    HERMES = "hermes"


class UnknownForm(ValueError):
    """Report a template that takes tools and writes calls in a way that is not known here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolForm:
    """Say how one model writes calls."""

    style: Style
    mark: str  # what calls begin with
    mark_id: int | None  # the control token that the mark is, or None where it is text


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoting:
    """Say which texts a template writes as they stand where JSON is due."""

    descriptions: bool = False
    results: bool = False


def form_of(template: str, controls: Mapping[str, int]) -> ToolForm | None:
    """
    Read from a template how calls are written; None where it takes no tools.

    Raises:
        UnknownForm: If it takes tools and writes calls in another way.
    """
    if not TAKES_TOOLS.search(template):
        return None
    if not any(other in template for other in OTHER_FORMS):
        if MISTRAL_MARK in template and MISTRAL_MARK in controls:
            mark_id = controls[MISTRAL_MARK]
            return ToolForm(style=Style.MISTRAL, mark=MISTRAL_MARK, mark_id=mark_id)
        if HERMES_MARK in template and HERMES_MARK not in controls:
            return ToolForm(style=Style.HERMES, mark=HERMES_MARK, mark_id=None)
    raise UnknownForm(
        "its chat template takes tools, but writes calls in a form that this server does not know "
        f"(known: {MISTRAL_MARK} with a list of calls as JSON, {HERMES_MARK} with JSON)"
    )


def quoting_of(render: Render) -> Quoting:
    """Render a conversation with quotes in it, and look where they come out bare."""
    function = {"name": "probe", "description": PROBE_DESCRIPTION, "parameters": {}}
    call = {"id": PROBE_ID, "type": "function", "function": {"name": "probe", "arguments": {}}}
    turns: list[Turn] = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": PROBE_RESULT, "tool_call_id": PROBE_ID, "name": "probe"},
    ]
    try:
        rendered = render(turns, [{"type": "function", "function": function}])
    except InvalidConversation:
        return Quoting()
    return Quoting(
        descriptions=f'"{PROBE_DESCRIPTION}"' in rendered,
        results=bool(re.search(rf'"content":\s*{PROBE_RESULT}', rendered)),
    )


def quoted(
    quoting: Quoting, turns: Sequence[Turn], tools: Sequence[Tool]
) -> tuple[list[Turn], list[Tool]]:
    """Write as JSON what the template takes as it stands."""
    if quoting.results:
        turns = [
            {**turn, "content": _as_json(turn["content"])} if turn["role"] == "tool" else turn
            for turn in turns
        ]
    if quoting.descriptions:
        tools = [{**tool, "function": _described(tool["function"])} for tool in tools]
    return list(turns), list(tools)


def check_ids(form: ToolForm, turns: Sequence[Turn]) -> None:
    """
    Hold the ids of calls to what the model was trained with.

    Raises:
        InvalidConversation: names the first message with another id.
    """
    if form.style is not Style.MISTRAL:
        return
    for index, turn in enumerate(turns):
        ids = [call["id"] for call in turn.get("tool_calls", ())]
        if not all(MISTRAL_ID.fullmatch(id_) for id_ in ids):
            reason = "an id of a call must be 9 letters and digits, as this server writes them"
            raise InvalidConversation(index, reason)


def _described(function: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(function["description"], ensure_ascii=False)
    return {**function, "description": text[1:-1]}


def _as_json(content: str) -> str:
    """Keep the value that a result is, or make a text of it; nothing is an empty object there."""
    try:
        value = from_json(content or "{}")
    except ValueError:
        value = content
    return json.dumps(value, ensure_ascii=False)
