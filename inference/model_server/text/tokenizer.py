"""
Turn text into the token ids that the model was trained on, and back.

The tokenizer's files come with the model. They are read by transformers; the work is done by the
compiled tokenizer behind it, in a thread of its own, since a long prompt takes half a second and
the event loop serves everyone. Its batch call is used even for one text: the single call keeps
Python's lock (tried, tokenizers 0.23), which would stop the loop all the same.

Invariants: text never becomes a control token; a prompt has exactly one beginning-of-sequence
token, its first. Both hold for chats and for plain completions.

Must not import torch.
"""

import asyncio
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer

from model_server.text.chat_prompt import (
    Control,
    InvalidConversation,
    NoChatTemplate,
    PromptTooLong,
    Tool,
    Turn,
    check_turns,
    said,
    segments_of,
)
from model_server.text.tool_form import (
    Quoting,
    ToolForm,
    UnknownForm,
    check_ids,
    form_of,
    quoted,
    quoting_of,
)

Conversation = tuple[Sequence[Turn], Sequence[Tool]]

BYTE_PIECE = re.compile("<0x([0-9A-F]{2})>")  # how a vocabulary writes a byte that is no text
SPACE = "▁"  # how a SentencePiece vocabulary writes a space
THREADS = 2  # enough that one long prompt does not hold up the next


class BadTokenizer(ValueError):
    """Report tokenizer files that cannot be used."""


class TextTokenizer:
    """Encode prompts and decode answers for one model."""

    def __init__(self, directory: Path, *, chat_template: str | None) -> None:
        """
        Read the files of a model's folder.

        Args:
            directory: Folder in the hub's layout.
            chat_template: Jinja text that replaces the one of the files, or None to use that.

        Raises:
            BadTokenizer: If the files are missing, broken, or lack a beginning-of-sequence token.
        """
        self._front = _read(directory)
        self._template, self._tools_template = _templates(
            chat_template or self._front.chat_template
        )
        self._back = self._front.backend_tokenizer
        self._back.no_truncation()
        self._back.no_padding()
        self._back.encode_special_tokens = True  # control tokens in a text are text
        added = self._front.added_tokens_decoder
        self._controls = {
            token.content: id_
            for id_, token in added.items()
            if token.special and len(token.content) > 1
        }
        if self._front.bos_token_id is None:
            raise BadTokenizer(f"{directory}: the tokenizer has no beginning-of-sequence token")
        self._bos_id = int(self._front.bos_token_id)
        plain, spaced = self._pieces("a"), self._pieces(" a")
        self._opens_with_space = plain[0] != "a"
        self._swallows_space = self._opens_with_space and plain == spaced
        self._longest_token = max(map(len, self._back.get_vocab()))
        self.tool_form: ToolForm | UnknownForm | None = self._tool_form()
        self._quoting = Quoting()
        if isinstance(self.tool_form, ToolForm):
            self._quoting = quoting_of(lambda turns, tools: self._render((turns, tools)))
        self._alone: dict[int, str] = {}  # texts of tokens that were decoded by themselves
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="tokenizer")

    async def encode_text(self, text: str, *, limit: int) -> list[int]:
        """
        Encode a text as it stands, with the beginning-of-sequence token before it.

        Args:
            text: Any text.
            limit: Tokens of the context.

        Raises:
            PromptTooLong: If the text must have more tokens than the limit.
        """
        self._check_length(len(text), limit)
        return await self._in_thread(self._encode_segments, [text])

    async def encode_chat(
        self, turns: Sequence[Turn], *, limit: int, tools: Sequence[Tool] = ()
    ) -> list[int]:
        """
        Encode a conversation by the chat template, up to where the assistant answers.

        Args:
            turns: The messages.
            limit: Tokens of the context.
            tools: What may be called; only for a model with a `tool_form`.

        Raises:
            InvalidConversation: If roles do not take turns, or the template refuses.
            NoChatTemplate: If this is a base model.
            PromptTooLong: If the messages must have more tokens than the limit.
        """
        if not self._template:
            raise NoChatTemplate("this model has no chat template; use /v1/completions")
        check_turns(turns)
        self._check_length(sum(len(turn["content"]) for turn in turns), limit)
        if isinstance(self.tool_form, ToolForm):
            check_ids(self.tool_form, turns)
            turns, tools = quoted(self._quoting, turns, tools)
        return await self._in_thread(self._encode_turns, (said(turns), tools))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Decode tokens without the control tokens among them."""
        if len(token_ids) == 1:
            # A stream asks for single tokens at each step; there are as many as the vocabulary has.
            alone = self._alone.get(token_ids[0])
            if alone is not None:
                return alone
        text: str = self._back.decode(list(token_ids), skip_special_tokens=True)
        if len(token_ids) == 1:
            self._alone[token_ids[0]] = text
        return text

    def to_json(self) -> str:
        """Return the compiled tokenizer as JSON, control tokens included."""
        text: str = self._back.to_str()
        return text

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes that one token stands for; a control token's are its name."""
        piece: str | None = self._back.id_to_token(token_id)
        if piece is None:
            return b""  # a logit that no token belongs to
        byte = BYTE_PIECE.fullmatch(piece)
        return bytes.fromhex(byte[1]) if byte else piece.replace(SPACE, " ").encode()

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _check_length(self, characters: int, limit: int) -> None:
        """Refuse by the length of the longest token: no text has fewer tokens than that."""
        at_least = -(-characters // self._longest_token)
        if at_least > limit:
            raise PromptTooLong(at_least)

    async def _in_thread(self, work: Any, argument: Any) -> list[int]:  # noqa: ANN401 - one of two methods below
        loop = asyncio.get_running_loop()
        ids: list[int] = await loop.run_in_executor(self._threads, work, argument)
        return ids

    def _tool_form(self) -> ToolForm | UnknownForm | None:
        try:
            return form_of(self._tools_template or "", self._controls)
        except UnknownForm as error:
            return error

    def _encode_turns(self, conversation: Conversation) -> list[int]:
        segments = segments_of(conversation, tuple(self._controls), self._render)
        return self._encode_segments(
            [self._without_opening_space(s) if isinstance(s, str) else s for s in segments]
        )

    def _render(self, conversation: Conversation) -> str:
        turns, tools = conversation
        with_tools = tools or any(turn["role"] == "tool" for turn in turns)
        try:
            text: str = self._front.apply_chat_template(
                list(turns),
                tools=list(tools) or None,
                chat_template=self._tools_template if with_tools else self._template,
                tokenize=False,
                add_generation_prompt=True,
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise InvalidConversation(
                len(turns) - 1, f"the chat template refuses: {error}"
            ) from None
        return text

    def _without_opening_space(self, text: str) -> str:
        """
        Leave a segment's opening space to the tokenizer, which puts one before every segment.

        Mistral's own tokenizer encodes each turn by itself, and SentencePiece opens each with a
        space; templates write that space out. Both spaces would be one too many: `[INST] Hi` is
        the control token and then "▁Hi", not "▁▁Hi".
        """
        return text.removeprefix(" ") if self._opens_with_space else text

    def _encode_one(self, text: str) -> list[int]:
        """Encode a text that is not empty, with exactly one space before it where one belongs."""
        # Some compiled forms add no space where the text has one of its own, unlike SentencePiece.
        whole = f" {text}" if self._swallows_space else text
        (encoding,) = self._back.encode_batch_fast([whole], add_special_tokens=False)
        ids: list[int] = encoding.ids
        return ids

    def _pieces(self, text: str) -> list[str]:
        pieces: list[str] = self._back.encode(text, add_special_tokens=False).tokens
        return pieces

    def _encode_segments(self, segments: Sequence[str | Control]) -> list[int]:
        ids: list[int] = []
        for segment in segments:
            if isinstance(segment, Control):
                ids.append(self._controls[segment.token])
            elif segment:
                ids += self._encode_one(segment)
        return ids if ids[:1] == [self._bos_id] else [self._bos_id, *ids]


def _read(directory: Path) -> Any:  # noqa: ANN401 - transformers' classes are made by a factory without a common type
    if not any((directory / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise BadTokenizer(f"{directory}: no tokenizer.json and no tokenizer.model in this folder")
    try:
        front = AutoTokenizer.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise BadTokenizer(f"{directory}: the tokenizer cannot be read: {error}") from error
    if not front.is_fast:
        raise BadTokenizer(f"{directory}: the tokenizer has no compiled form; add tokenizer.json")
    return front


def _templates(found: str | dict[str, str] | None) -> tuple[str | None, str | None]:
    """Choose the template for chats and the one for chats with tools, where files name several."""
    if isinstance(found, dict):
        default = found.get("default")
        return default, found.get("tool_use", default)
    return found, found
