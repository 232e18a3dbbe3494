"""Prompts with tools, calls and results equal those of Mistral's own tokenizer, token by token."""

import asyncio
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mistral_common.protocol.instruct.messages import ToolMessage
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.tool_calls import Function, FunctionCall, ToolCall
from mistral_common.protocol.instruct.tool_calls import Tool as MistralTool
from model_server.api.protocol import ChatRequest
from model_server.text.chat_prompt import InvalidConversation, Turn
from model_server.text.tokenizer import TextTokenizer

from tests.model_server.mistral_tokenizers import ROLES, Mistral, reference, write_tokenizer
from tests.model_server.tool_models import BARE, V3

LIMIT = 32_768
WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "A place, as 'Zürich'"}},
    "required": ["city"],
}
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {"name": "weather", "description": "Tells it.", "parameters": WEATHER},
    },
    {"type": "function", "function": {"name": "now"}},
]
QUOTING = {
    "type": "function",
    "function": {
        "name": "say",
        "description": 'Says "a\\b"\n[TOOL_CALLS] </s>[/AVAILABLE_TOOLS] twice',
        "parameters": {"type": "object", "properties": {"[/INST]": {"enum": ["</s>", '"']}}},
    },
}


def call(id_: str, name: str = "weather", arguments: str = '{"city":"Oslo"}') -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def calls(*made: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(made)}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def result(id_: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id_, "content": content}


A, B = "abcdefghi", "ABC123xyz"
CONVERSATIONS: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = [
    ([user("Hi")], TOOLS),
    ([user("Hi"), said("Hello"), user("Weather?")], TOOLS),
    ([user("Hi")], [QUOTING]),
    ([user("[AVAILABLE_TOOLS] [TOOL_CALLS] [TOOL_RESULTS]</s>")], TOOLS),
    ([user("W?"), calls(call(A)), result(A, '{"degrees":  21.50}')], TOOLS),
    ([user("W?"), calls(call(A)), result(A, "sunny")], []),
    (
        [
            user("W?"),
            calls(call(A), call(B, "now", "{}")),
            result(A, 'It "rains" in \\ [/TOOL_RESULTS]</s> 日本'),
            result(B, "12"),
            said("It rains, at noon."),
            user("And?"),
            calls(call("zzzzzzzz9", "now", "")),
            result("zzzzzzzz9", ""),
        ],
        [*TOOLS, QUOTING],
    ),
    (
        [
            user("W?"),
            calls(call(A, "weather", '{"city":"[/INST]</s> \\"x\\" é"}')),
            result(A, "[]"),
        ],
        TOOLS,
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("v3-tools")
    write_tokenizer("v3", directory)
    return directory


@pytest.fixture(scope="module")
def tokenizers(folder: Path) -> dict[str, TextTokenizer]:
    return {
        "ours": TextTokenizer(folder, chat_template=V3),
        "bare": TextTokenizer(folder, chat_template=BARE),
    }


@cache
def mistral() -> Mistral:
    return reference("v3")


def reference_ids(turns: list[dict[str, Any]], tools: list[dict[str, Any]]) -> list[int]:
    messages: list[Any] = []
    for turn in turns:
        if turn["role"] == "tool":
            messages.append(ToolMessage(content=turn["content"], tool_call_id=turn["tool_call_id"]))
            continue
        made = [
            ToolCall(
                id=one["id"],
                function=FunctionCall(
                    name=one["function"]["name"], arguments=one["function"]["arguments"] or "{}"
                ),
            )
            for one in turn.get("tool_calls", ())
        ]
        extra = {"tool_calls": made} if made else {}
        messages.append(ROLES[turn["role"]](content=turn["content"], **extra))
    known = [MistralTool(function=Function.from_openai(tool["function"])) for tool in tools]
    request: Any = ChatCompletionRequest(messages=messages, tools=known or None)
    return list(mistral().encode_chat_completion(request).tokens)


def encode(
    tokenizer: TextTokenizer, turns: list[dict[str, Any]], tools: list[dict[str, Any]]
) -> list[int]:
    """Encode as a request over HTTP is."""
    asked = ChatRequest.model_validate({"messages": turns, "tools": tools})
    said: list[Turn] = [message.turn() for message in asked.messages]
    shown = [tool.shown() for tool in asked.offered]
    return asyncio.run(tokenizer.encode_chat(said, limit=LIMIT, tools=shown))


@pytest.mark.parametrize(("turns", "tools"), CONVERSATIONS)
@pytest.mark.parametrize("template", ["ours", "bare"])
def test_a_chat_with_tools_has_the_ids_of_mistrals_own_tokenizer(
    tokenizers: dict[str, TextTokenizer],
    template: str,
    turns: list[dict[str, Any]],
    tools: list[dict[str, Any]],
) -> None:
    assert encode(tokenizers[template], turns, tools) == reference_ids(turns, tools)


def test_a_system_text_opens_the_last_question(tokenizers: dict[str, TextTokenizer]) -> None:
    system = {"role": "system", "content": "Be brief."}
    for turns, tools in CONVERSATIONS:
        whole = [system, *turns]
        assert encode(tokenizers["ours"], whole, tools) == reference_ids(whole, tools)


words = st.sampled_from(
    ["[TOOL_CALLS]", "[/TOOL_RESULTS]", "</s>", "[INST]", '"', "\\", "{", "é", " ", "\n", "<", "]"]
)
texts = st.lists(words, max_size=6).map("".join)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=texts, description=texts, name=texts, came=texts)
def test_no_text_of_a_tool_a_call_or_a_result_is_a_control_token(
    tokenizers: dict[str, TextTokenizer], question: str, description: str, name: str, came: str
) -> None:
    schema = {"type": "object", "properties": {name: {"const": came}}}
    function = {"name": "f", "description": description, "parameters": schema}
    tools = [{"type": "function", "function": function}]
    turns = [user(question), calls(call(A)), result(A, came)]
    wanted = reference_ids(turns, tools)
    for tokenizer in tokenizers.values():
        assert encode(tokenizer, turns, tools) == wanted
    plain = reference_ids([user("x"), calls(call(A)), result(A, "1")], TOOLS)
    controls = range(10)
    assert [id_ for id_ in wanted if id_ in controls] == [id_ for id_ in plain if id_ in controls]


@pytest.mark.parametrize(
    ("turns", "index", "reason"),
    [
        ([user("x"), result(A, "1")], 1, "of no call"),
        ([user("x"), calls(call(A))], 1, "a result of each call must follow"),
        ([user("x"), calls(call(A)), user("y")], 2, "the result of a call is due"),
        ([user("x"), calls(call(A)), result(B, "1")], 2, "of no call"),
        ([user("x"), calls(call(A)), result(A, "1"), result(A, "1")], 3, "of no call"),
        ([user("x"), calls(call(A)), result(A, "1"), user("y")], 3, "role assistant is due"),
        ([user("x"), calls(call(A), call(A)), result(A, "1")], 1, "the same id"),
        ([user("x"), calls(call("call_1")), result("call_1", "1")], 1, "9 letters and digits"),
        ([calls(call(A)), result(A, "1")], 0, "role user is due"),
    ],
)
def test_calls_and_results_out_of_turn_are_refused_by_index(
    tokenizers: dict[str, TextTokenizer], turns: list[dict[str, Any]], index: int, reason: str
) -> None:
    with pytest.raises(InvalidConversation, match=reason) as refused:
        encode(tokenizers["ours"], turns, TOOLS)
    assert refused.value.index == index
