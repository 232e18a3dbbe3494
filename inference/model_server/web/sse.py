"""
Write the events of a stream as bytes, with as little work per token as can be.

All chunks of one answer are alike but for the text and the end, so their head is written once and a
token costs one `json.dumps` of a short string. The shapes are OpenAI's: for a chat a first chunk
with the role, chunks with `delta.content` or `delta.tool_calls`, one with the finish reason, the
usage where it was asked for, then `[DONE]`. A stream that failed ends with an error event and
without `[DONE]`.

Pure. Must not import torch, transformers, asyncio or time.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model_server.text.call_reader import CallPiece

DONE = b"data: [DONE]\n\n"
# Made once: json.dumps makes one at each call that asks for another form than its own.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_DEPTH = 5  # document, choices, choice, logprobs, content: then each token in one call
KINDS = {"chat": "chat.completion.chunk", "completion": "text_completion"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Count the tokens of one answer."""

    prompt_tokens: int
    completion_tokens: int  # of all choices
    cached_tokens: int = 0  # of the prompt, that were not computed again

    def document(self) -> dict[str, Any]:
        """Return the counts as the API names them."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


@dataclass(slots=True, kw_only=True)
class Call:
    """Hold one call of a tool, as far as it has come."""

    call_id: str
    name: str
    arguments: str = ""

    def document(self) -> dict[str, Any]:
        """Return the call as the API shows it."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.call_id, "type": "function", "function": function}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Hold one of the answers to a request."""

    text: str
    finish_reason: str
    logprobs: dict[str, Any] | None = None
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerHead:
    """Hold what all parts of one answer repeat."""

    answer_id: str
    created: int  # seconds since 1970
    model: str


class ChunkWriter:
    """Write the chunks of one choice of an answer."""

    def __init__(self, head: AnswerHead, *, chat: bool, with_usage: bool, index: int = 0) -> None:
        """Write the part that stays the same."""
        self._index = index
        self._chat = chat
        self._with_usage = with_usage
        fixed = {
            "id": head.answer_id,
            "object": KINDS["chat" if chat else "completion"],
            "created": head.created,
            "model": head.model,
        }
        self._head = f"data: {_json(fixed)[:-1]}".encode()
        before = '"delta":{"content":' if chat else '"text":'
        after = "}" if chat else ""
        tail = ',"usage":null' if with_usage else ""
        self._before_text = self._head + f',"choices":[{{"index":{index},{before}'.encode()
        self._after_text = f'{after},"logprobs":null,"finish_reason":null}}]{tail}}}\n\n'.encode()

    def opening(self, *, may_call: bool = False) -> bytes:
        """Say whose turn it is; a plain completion has no such chunk."""
        content = None if may_call else ""
        delta = {"role": "assistant", "content": content}
        return self._choice({"delta": delta}) if self._chat else b""

    def text(self, text: str, logprobs: dict[str, Any] | None = None) -> bytes:
        """Write one piece of the answer."""
        if logprobs is not None:
            content: dict[str, Any] = {"delta": {"content": text}} if self._chat else {"text": text}
            return self._choice(content, logprobs=logprobs)
        return self._before_text + _json(text).encode() + self._after_text

    def call(self, piece: CallPiece) -> bytes:
        """Write what is new of a call; its first piece says what is called."""
        function = {"arguments": piece.arguments}
        call: dict[str, Any] = {"index": piece.index}
        if piece.name is not None:
            call |= {"id": piece.call_id, "type": "function"}
            function = {"name": piece.name, **function}
        return self._choice({"delta": {"tool_calls": [{**call, "function": function}]}})

    def closing(self, finish_reason: str) -> bytes:
        """Say why no more text comes."""
        return self._choice({"delta": {}} if self._chat else {"text": ""}, finish_reason)

    def usage(self, usage: Usage) -> bytes:
        """Write the counts, in a chunk without choices; nothing where they were not asked for."""
        if not self._with_usage:
            return b""
        return self._head + f',"choices":[],"usage":{_json(usage.document())}}}\n\n'.encode()

    def _choice(
        self,
        content: dict[str, Any],
        finish_reason: str | None = None,
        logprobs: dict[str, Any] | None = None,
    ) -> bytes:
        choice = {
            "index": self._index,
            **content,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
        }
        tail = ',"usage":null' if self._with_usage else ""
        return self._head + f',"choices":[{_json(choice)}]{tail}}}\n\n'.encode()


def error_event(document: dict[str, Any]) -> bytes:
    """Write an error as the last event of a stream that has begun."""
    return f"data: {_json(document)}\n\n".encode()


def whole_answer(head: AnswerHead, *, chat: bool, choices: Sequence[Choice], usage: Usage) -> bytes:
    """
    Write the answer that is not streamed.

    Its log probabilities may be a million entries: who has them written does so in a thread.
    """
    document = {
        "id": head.answer_id,
        "object": "chat.completion" if chat else "text_completion",
        "created": head.created,
        "model": head.model,
        "choices": [
            {
                "index": index,
                **_content(choice, chat=chat),
                "logprobs": choice.logprobs,
                "finish_reason": choice.finish_reason,
            }
            for index, choice in enumerate(choices)
        ],
        "usage": usage.document(),
    }
    return _json_in_turns(document, _DEPTH).encode()


def _content(choice: Choice, *, chat: bool) -> dict[str, Any]:
    if not chat:
        return {"text": choice.text}
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
    if choice.calls:
        calls = [call.document() for call in choice.calls]
        message |= {"content": choice.text or None, "tool_calls": calls}
    return {"message": message}


def only_text(text: str) -> bytes:
    """Write an answer in the shape of KAITO's old server."""
    return _json({"Result": text}).encode()


def _json_in_turns(value: object, depth: int) -> str:
    """Write JSON in many small calls: each keeps Python's lock, other threads run in between."""
    if depth and isinstance(value, dict):
        parts = (f"{_json(key)}:{_json_in_turns(v, depth - 1)}" for key, v in value.items())
        return f"{{{','.join(parts)}}}"
    if depth and isinstance(value, list):
        return f"[{','.join(_json_in_turns(v, depth - 1) for v in value)}]"
    return _json(value)


def _json(value: object) -> str:
    """Write compact JSON in UTF-8; it holds no line break, so it fits a `data:` line as it is."""
    return _ENCODER.encode(value)
