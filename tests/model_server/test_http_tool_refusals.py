"""A tool that cannot be called, or a call that was not made, is refused by its place."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from model_server.settings import Settings
from model_server.startup import load

from tests.model_server.http_server import CHAT, USER, Running, check_error, serving
from tests.model_server.tool_models import make_tool_model

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


def calling(name: str = "f", arguments: str = "{}") -> dict[str, object]:
    function = {"name": name, "arguments": arguments}
    return {
        "role": "assistant",
        "tool_calls": [{"id": "abcdefghi", "type": "function", "function": function}],
    }


CALLING = calling()
RESULT: dict[str, object] = {"role": "tool", "tool_call_id": "abcdefghi", "content": "1"}


def tool(name: str, **fields: object) -> dict[str, object]:
    return {"type": "function", "function": {"name": name, **fields}}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def without() -> AsyncIterator[Running]:
    """Serve a model that has no tools."""
    async with serving() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def with_tools(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    directory = tmp_path_factory.mktemp("tools")
    make_tool_model(directory)
    settings = Settings(model=directory, device="cpu", max_sequences=2)
    async with serving(lambda lifecycle: load(settings, None, lifecycle)) as server:
        yield server


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{**RESULT, "content": None}]}, "messages[0].content"),
        ({"messages": [{**RESULT, "role": "user"}]}, "messages[0].tool_call_id"),
        ({"messages": [{**USER[0], "name": "x"}]}, "messages[0].name"),
        ({"messages": [*USER, RESULT]}, "messages[1].role"),
        ({"messages": [*USER, CALLING, RESULT]}, "messages[1].tool_calls"),
        (
            {"messages": [{**CALLING, "role": "user", "content": "x"}]},
            "messages[0].tool_calls",
        ),
        (
            {"messages": [*USER, calling(arguments="[]")]},
            "messages[1].tool_calls[0].function.arguments",
        ),
        (
            {"messages": [*USER, calling(arguments="[" * 100_000)]},
            "messages[1].tool_calls[0].function.arguments",
        ),
        (
            {"messages": [*USER, calling(name="a b")]},
            "messages[1].tool_calls[0].function.name",
        ),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "search"}]}, "tools[0].type"),
        ({"tools": [tool("a b")]}, "tools[0].function.name"),
        ({"tools": [tool("a" * 65)]}, "tools[0].function.name"),
        (
            {"tools": [tool("f", parameters={"type": "string"})]},
            "tools[0].function.parameters",
        ),
        ({"tools": [tool("f", limits=1)]}, "tools[0].function.limits"),
        ({"tools": [tool("f"), tool("f")]}, "tools"),
        ({"tools": [tool(f"f{i}") for i in range(129)]}, "tools"),
        ({"tools": [tool("f")]}, "tools"),  # no template
        ({"tools": [tool("f")], "tool_choice": "any"}, "tool_choice"),
        ({"tools": [tool("f")], "tool_choice": tool("g")}, "tool_choice"),
        ({"tools": [tool("f")], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": "required", "tools": []}, "tool_choice"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
    ],
)
async def test_what_no_model_takes_is_refused_by_its_place(
    without: Running, fields: dict[str, object], param: str
) -> None:
    response = await without.client.post(CHAT, json={"messages": USER, "max_tokens": 2, **fields})
    assert check_error(response, 422)["param"] == param


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [], "tool_choice": "none", "parallel_tool_calls": True},
        {"tools": [tool("f", strict=True, description=None)], "tool_choice": "none"},
    ],
)
async def test_tools_that_may_not_be_called_need_no_template(
    without: Running, fields: dict[str, object]
) -> None:
    response = await without.client.post(CHAT, json={"messages": USER, "max_tokens": 2, **fields})
    assert response.status_code == 200


WRONG_TYPE: dict[str, object] = {"type": "object", "properties": {"a": {"type": "nix"}}}
TOO_WIDE: dict[str, object] = {"properties": {f"p{i}": {} for i in range(257)}}


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        (
            {"tools": [tool("f"), tool("x", parameters=WRONG_TYPE)]},
            400,
            "tools[1].function.parameters.properties.a",
        ),
        (
            {"tools": [tool("x", parameters=TOO_WIDE)]},
            400,
            "tools[0].function.parameters.properties",
        ),
        ({"tools": [tool("f")], "min_tokens": 3}, 422, "min_tokens"),
        ({"tools": [tool("f")], "messages": [*USER, RESULT]}, 400, "messages[1]"),
    ],
)
async def test_what_cannot_be_called_is_refused_by_its_place(
    with_tools: Running, fields: dict[str, object], status: int, param: str
) -> None:
    response = await with_tools.client.post(CHAT, json={"messages": USER, **fields})
    assert check_error(response, status)["param"] == param
