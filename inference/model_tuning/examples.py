"""
Turn rows of a data set into token ids, and mark the ones that the model should learn to say.

A conversation is written by the preset's own chat template, the one that the server uses, so that a
tuned model meets at serving time what it met here. Only answers are learned: the loss of a question
would teach the model to ask. Plain text is learned whole.

Pure but for the tokenizer that it is given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

MESSAGES, TEXT = "messages", "text"


class InvalidData(ValueError):
    """Name the column or the row of a data set that cannot be learned, and the remedy."""


class Tokenizer(Protocol):
    """What is needed of transformers' tokenizer."""

    eos_token_id: int

    def apply_chat_template(self, conversation: list[dict[str, str]], **options: Any) -> Any:  # noqa: ANN401 - transformers' own signature
        """Write a conversation as text."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Return the ids of a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """
    Hold which columns are read: a conversation, a question and its answer, or plain text.

    Attributes:
        messages: Column with a list of {role, content}; none for another form.
        context: Column with the question; none for another form.
        response: Column with the answer.
        text: Column with plain text.
    """

    messages: str | None = None
    context: str | None = None
    response: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """
    Hold one example.

    Attributes:
        input_ids: (T) token ids.
        completion_mask: (T) 1 where the token is learned, 0 where it is only read.
    """

    input_ids: list[int]
    completion_mask: list[int]


def choose_columns(settings: Mapping[str, Any], present: Sequence[str]) -> Columns:
    """
    Choose the columns by the settings, else by the usual names.

    Raises:
        InvalidData: when a named column is missing, or none of the usual ones is there.
    """
    named = {
        key: settings[f"{key}_column"]
        for key in ("messages", "context", "response", "text")
        if f"{key}_column" in settings
    }
    for key, column in named.items():
        if column not in present:
            raise InvalidData(
                f"DatasetConfig.{key}_column: {column!r}: not in the data, which has "
                f"{', '.join(present)}"
            )
    if named:
        return Columns(**named)
    if MESSAGES in present:
        return Columns(messages=MESSAGES)
    if TEXT in present:
        return Columns(text=TEXT)
    raise InvalidData(
        f"the data has the columns {', '.join(present)}; name messages_column, context_column "
        "and response_column, or text_column in DatasetConfig"
    )


def encode_row(
    row: Mapping[str, Any], columns: Columns, tokenizer: Tokenizer, template: str | None
) -> Example:
    """
    Turn one row into token ids.

    Args:
        row: Column -> value.
        columns: Which of them are read.
        tokenizer: The model's own.
        template: The preset's chat template; none for a base model.

    Raises:
        InvalidData: names what is wrong with the row.
    """
    if columns.text is not None:
        ids = tokenizer.encode(_text(row, columns.text), add_special_tokens=True)
        ids = [*ids, tokenizer.eos_token_id]
        return Example(input_ids=ids, completion_mask=[1] * len(ids))
    if columns.messages is not None:
        return _encode_turns(_turns(row, columns.messages), tokenizer, template)
    question, answer = _text(row, columns.context), _text(row, columns.response)
    if template is None:
        return _encode_pair(question, answer, tokenizer)
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return _encode_turns(turns, tokenizer, template)


def cut(example: Example, longest: int) -> Example:
    """Keep the first tokens of an example that is longer than the model's context."""
    return Example(
        input_ids=example.input_ids[:longest], completion_mask=example.completion_mask[:longest]
    )


def _encode_pair(question: str, answer: str, tokenizer: Tokenizer) -> Example:
    asked = tokenizer.encode(question, add_special_tokens=True)
    whole = [
        *tokenizer.encode(f"{question}{answer}", add_special_tokens=True),
        tokenizer.eos_token_id,
    ]
    learned_from = _common(asked, whole)
    mask = [int(place >= learned_from) for place in range(len(whole))]
    return Example(input_ids=whole, completion_mask=mask)


def _encode_turns(
    turns: list[dict[str, str]], tokenizer: Tokenizer, template: str | None
) -> Example:
    if template is None:
        raise InvalidData(
            "the data holds conversations, and the preset is a base model without a chat template; "
            "give context_column and response_column, or text_column"
        )

    def ids(upto: int) -> list[int]:
        text = tokenizer.apply_chat_template(
            turns[:upto], chat_template=template, tokenize=False, add_generation_prompt=False
        )
        return tokenizer.encode(text, add_special_tokens=False)

    whole = ids(len(turns))
    mask = [0] * len(whole)
    for number, turn in enumerate(turns):
        if turn["role"] == "assistant":
            begin, end = _common(ids(number), whole), _common(ids(number + 1), whole)
            mask[begin:end] = [1] * (end - begin)
    if not any(mask):
        raise InvalidData("a conversation without an answer teaches nothing; add assistant turns")
    return Example(input_ids=whole, completion_mask=mask)


def _common(start: list[int], whole: list[int]) -> int:
    """Return how many tokens two texts share where one begins the other."""
    same = 0
    for one, other in zip(start, whole, strict=False):
        if one != other:
            break
        same += 1
    return same


def _turns(row: Mapping[str, Any], column: str) -> list[dict[str, str]]:
    value = row[column]
    if not isinstance(value, list) or not all(
        isinstance(turn, dict)
        and isinstance(turn.get("role"), str)
        and isinstance(turn.get("content"), str)
        for turn in value
    ):
        raise InvalidData(f"column {column}: a row is no list of messages with role and content")
    return [{"role": turn["role"], "content": turn["content"]} for turn in value]


def _text(row: Mapping[str, Any], column: str | None) -> str:
    value = row[column] if column is not None else None
    if not isinstance(value, str) or not value:
        raise InvalidData(f"column {column}: a row holds {type(value).__name__}, not text")
    return value
