"""
Write the grammar of an answer that calls tools, in llguidance's form of Lark.

Each tool's schema is a grammar of its own, so its references lead to its own definitions. The name
comes before the arguments, which a stream needs. The model is not asked for the ids of its calls:
the server gives them.

Pure. Must not import torch, transformers, llguidance, asyncio or time.
"""

import json
from dataclasses import dataclass
from typing import Any

from model_server.text.tool_form import Style, ToolForm

MAX_CALLS = 32  # in one answer: a model that has nothing to say would call for ever
SPACES = r"[\x20\x0A\x0D\x09]{1,32}"  # between the parts, or there would be no end of them

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallableFunction:
    """Name a function that may be called, and what its arguments must be."""

    name: str
    schema: Schema
    place: str  # in the request, for errors


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRules:
    """Say what an answer may be."""

    form: ToolForm
    functions: tuple[CallableFunction, ...]
    most: int = MAX_CALLS
    may_answer: bool  # with text instead of calls
    answer: Schema | None = None  # what that text must be; None is any
    answer_place: str = ""

    @property
    def schemas(self) -> tuple[tuple[str, Schema], ...]:
        """The schemas, each with its place in the request."""
        held = [(function.place, function.schema) for function in self.functions]
        if self.answer is not None:
            held.append((self.answer_place, self.answer))
        return tuple(held)

    @property
    def waits_for_mark(self) -> bool:
        """Whether any text may come until a control token opens the calls."""
        return self.may_answer and self.answer is None and self.form.mark_id is not None

    def lark(self) -> str:
        """Write the grammar; text before calls is not in it where a control token opens them."""
        lines = [self._start(), self._body(), "ws: WS?", f"WS: /{SPACES}/"]
        named = " | ".join(f"call_{index}" for index in range(len(self.functions)))
        lines.append(f'call: "{{" ws "\\"name\\"" ws ":" ws ({named}) ws "}}"')
        for index, function in enumerate(self.functions):
            name = json.dumps(json.dumps(function.name))
            key = '"\\"arguments\\""'
            lines.append(f'call_{index}: {name} ws "," ws {key} ws ":" ws arguments_{index}')
            lines.append(f"arguments_{index}: %json {schema_text(function.schema)}")
        if self.may_answer and self.answer is not None:
            lines.append(f'answer: " "? answer_json\nanswer_json: %json {schema_text(self.answer)}')
        elif self.may_answer and not self.waits_for_mark:
            lines.append("answer: TEXT\nTEXT: /(.|\\n)*/")
            lines.append(f"led[lazy]: TEXT {json.dumps(self.form.mark)}")
        return "\n".join(lines)

    def _start(self) -> str:
        if not self.may_answer or self.waits_for_mark:
            return "start: opened calls" + self._opened()
        if self.answer is not None:
            return "start: answer | opened calls" + self._opened()
        return "start: answer | led calls"

    def _opened(self) -> str:
        # A mark that is text may come with the space that opens a Mistral model's answers.
        mark_id, mark = self.form.mark_id, json.dumps(self.form.mark)
        return "\nopened: " + (f'" "? {mark}' if mark_id is None else f"<[{mark_id}]>")

    def _body(self) -> str:
        if self.form.style is Style.MISTRAL:
            more = self._more('"," ws call')
            return f'calls: " "? "[" ws call {more} ws "]"'
        more = self._more(f"{json.dumps(self.form.mark)} one")
        return f'calls: one {more}\none: ws call ws "</tool_call>"'

    def _more(self, what: str) -> str:
        """Repeat what comes after the first call."""
        return f"(ws {what}){{0,{self.most - 1}}}" if self.most > 1 else ""


def schema_text(schema: Schema) -> str:
    """Write a schema, with our own options for the library in place of the caller's."""
    return json.dumps({**schema, "x-guidance": {"whitespace_pattern": SPACES}})
